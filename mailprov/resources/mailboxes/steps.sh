# How a mailbox moves to another address, and back. POSIX sh; a part of the transaction's script.
# Its folder and a link that leads there change places in one act of the kernel: whoever has the old path in hand, a
# session or a delivery, finds the mailbox at any moment, and so does whoever comes by the new one.
# shellcheck disable=SC2015,SC2154

VMAIL=/var/vmail

home_of() { # ADDRESS
    printf '%s/%s/%s\n' "$VMAIL" "${1##*@}" "${1%@*}"
}

a_folder() { [ -d "$1" ] && [ ! -L "$1" ]; }

own_folder() { # PATH: with the one around it
    for folder in "${1%/*}" "$1"; do
        [ -d "$folder" ] || install -d -m 700 -o vmail -g vmail -- "$folder" || return 1
    done
}

lead() { # TO PLACE
    own_folder "${2%/*}" && ln -sfT -- "$1" "$2.mailprov" && mv -fT -- "$2.mailprov" "$2"
}

ours() { # LINK TO
    [ ! -L "$1" ] || [ "$(readlink "$1")" = "$2" ] || { echo "$1 is a link of somebody else's"; return 1; }
}

# renameat2(2) with RENAME_EXCHANGE, which no program of Debian's older releases offers. Where the file system cannot
# do that, the link follows the rename within the same process.
change_places() { # FOLDER LINK
    perl -e '
        my ($from, $to, $machine) = @ARGV;
        my %number = (x86_64 => 316, i686 => 353, aarch64 => 276, riscv64 => 276, armv7l => 382, ppc64le => 357, s390x => 347);
        my $number = $number{$machine};
        exit 0 if $number && syscall($number, -100, $from, -100, $to, 2) == 0;
        my $leads = readlink $to;
        unlink $to;
        if (!rename $from, $to) {
            my $why = $!;
            symlink $leads, $to;
            die "$from cannot move to $to: $why\n";
        }
        symlink $leads, $from or die "$from: $!\n";
    ' "$1" "$2" "$(uname -m)"
}

on_disk() { # PATH...
    for path in "$@"; do [ ! -d "${path%/*}" ] || sync -- "${path%/*}" || return 1; done
}

move_mailbox() { # N OLD NEW
    old=$(home_of "$2") new=$(home_of "$3")
    ours "$old" "$new" && ours "$new" "$new" || return 1
    if a_folder "$old"; then
        [ ! -d "$new" ] || [ -L "$new" ] || { echo "$new is there, too"; return 1; }
        true >"$T/old/$1.moved" && sync -- "$T/old" && lead "$new" "$new" && change_places "$old" "$new"
    else
        # It has none yet. What comes for the old address meanwhile goes where it will be looked for.
        [ -d "$new" ] || { true >"$T/old/$1.made" && sync -- "$T/old" && own_folder "$new"; } || return 1
        lead "$new" "$old"
    fi && [ "$(readlink -f -- "$old")" = "$(readlink -f -- "$new")" ] && on_disk "$old" "$new"
}

return_mailbox() { # N OLD NEW
    old=$(home_of "$2") new=$(home_of "$3")
    rm -f -- "$old.mailprov" "$new.mailprov"
    ours "$old" "$new" && ours "$new" "$new" || return 0 # nothing was done
    [ ! -L "$new" ] || rm -f -- "$new"
    # What lies on another machine may not be there yet at boot.
    [ ! -f "$T/old/$1.moved" ] || a_folder "$old" || a_folder "$new" || { echo "neither $old nor $new is there"; return 1; }
    if { [ -f "$T/old/$1.moved" ] || [ -f "$T/old/$1.made" ]; } && a_folder "$new"; then
        ! a_folder "$old" || { echo "$old and $new are both there"; return 1; }
        # There was no mailbox, and nothing has come; or else it goes back, with what has come.
        rmdir -- "$new" 2>/dev/null || { { [ -L "$old" ] || lead "$new" "$old"; } && change_places "$new" "$old"; } || return 1
        rm -f -- "$new"
    fi
    [ ! -L "$old" ] || rm -f -- "$old"
    on_disk "$old" "$new"
}

leave_name() { # N OLD NEW
    old=$(home_of "$2")
    [ ! -L "$old" ] || rm -f -- "$old" && on_disk "$old"
}

take_name() { # N OLD NEW
    old=$(home_of "$2") new=$(home_of "$3")
    [ -e "$old" ] || [ -L "$old" ] || lead "$new" "$old"
}
