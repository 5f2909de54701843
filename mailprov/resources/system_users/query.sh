# Which system users there are, and which folders of mail they could not enter. POSIX sh; a part of the probe's script, with what is in engine/probe.sh.

system_users() { # NAME...: each line of passwd(5), then the name of that user's group, if it has one
    getent passwd "$@" | while IFS=: read -r name password uid gid more; do
        printf '%s\n' "$name:$password:$uid:$gid:$more"
        while IFS=: read -r group _ number _; do
            [ "$number" != "$gid" ] || { echo "$name $group"; continue 2; }
        done </etc/group
        group=$(getent group "$gid") && echo "$name ${group%%:*}"
    done
}

# A home itself, and those of the folders of mail in it that are not its user's, or do not let their owner in: of each
# domain a few, some hundreds together, however many there are.
mail_tree() { # USER HOME
    [ ! -d "$2" ] || perl -e "$MAIL_TREE" "$1" "$2"
}

# shellcheck disable=SC2016 # perl's own variables
MAIL_TREE='
    my ($user, $home) = @ARGV;
    my $owner = getpwnam($user) // -1;
    sub look {
        my ($path) = @_;
        my ($mode, $uid) = (stat $path)[2, 4];
        return if !-d _;
        printf "%d %s %o %s\n", $uid, getpwuid($uid) // $uid, $mode & 07777, $path
            if $path eq $home || $uid != $owner || !($mode & 0100);
    }
    sub within {
        my ($path, $most) = @_;
        opendir my $folder, $path or return;
        my @names;
        while ($most-- > 0 && defined(my $name = readdir $folder)) { push @names, "$path/$name" if $name !~ /^\.|\n/ }
        return @names;
    }
    my @domains = within($home, 1000);
    look($_) for $home, @domains, map { within($_, 3 + 400 / @domains) } @domains;
'
