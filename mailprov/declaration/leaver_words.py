"""Who has left, in languages beside those whose columns are read: enough to refuse a list until somebody has looked."""

from __future__ import annotations

from typing import Final

GONE: Final = frozenset(
    {
        *("disableduser", "no longer with us", "no longer here", "no longer active", "no longer works here"),
        *("sorti", "sortie", "partie", "licencié", "licenciée", "démissionnaire", "retraité", "retraitée"),
        *("baja", "de baja", "dado de baja", "dada de baja", "cesado", "cesada", "despedido", "despedida", "jubilado"),
        *("inativo", "inativa", "desligado", "desligada", "demitido", "demitida", "afastado", "exonerado"),
        *("inattivo", "inattiva", "cessato", "cessata", "dimesso", "dimessa", "dimissionario", "licenziato"),
        *("uit dienst", "niet in dienst", "niet meer in dienst", "inactief", "vertrokken", "ontslagen"),
        *("nieaktywny", "nieaktywna", "zwolniony", "zwolniona", "nieczynny", "odszedł", "odeszła"),
        *("neaktivní", "neaktivny", "neaktívny", "propuštěn", "odešel", "ukončen", "neaktivan", "neaktiven"),
        *("avslutad", "slutat", "inaktiverad", "fratrådt", "fratrådte", "sluttet", "fratrådt stilling", "opsagt"),
        *("lopettanut", "poistunut", "suljettu", "kilépett", "inaktív", "inactiv", "inactivă", "plecat", "demis"),
        *("ανενεργόσ", "ανενεργή", "ανενεργό", "αποχώρησε", "απολύθηκε", "звільнений", "звільнена", "звільнено"),
        *("неактивний", "неактивна", "pasif", "ayrıldı", "işten ayrıldı", "işten çıktı", "غير نشط", "غير فعال"),
        *(
            "مستقيل",
            "معطل",
            "موقوف",
            "לא פעיל",
            "עזב",
            "עזבה",
            "đã nghỉ việc",
            "nghỉ việc",
            "đã nghỉ",
            "ngừng hoạt động",
        ),
        *("ลาออก", "ลาออกแล้ว", "พ้นสภาพ", "keluar", "resign", "nonaktif", "non-aktif", "tidak aktif", "berhenti"),
    }
)
"""what says in any column that somebody has left or is shut out, as str.casefold() has it"""
SWITCH: Final = frozenset(
    {
        *("sì", "nee", "tak", "nie", "ano", "ne", "nej", "kyllä", "ei", "igen", "nem", "da", "nu", "ναι", "όχι"),
        *("так", "ні", "evet", "hayır", "نعم", "لا", "כן", "לא", "có", "không", "ใช่", "ไม่", "ไม่ใช่", "ya", "tidak"),
    }
)
"""yes and no"""
HINT: Final = (
    r"situa[tcçz]|cesad|attiv|cessat|ativ[oa]\b|deslig|(in|uit) dienst\b|dienstverband|zatrudni|zwoln|\bstan\b|aktywn"
    r"|\bstav\b|zaměstn|ukonč|výpov|anställ|slutdat|avslut|fratr[åa]d|työsuhde|\btila\b|päätty|állapot|kilép|\bstare\b"
    r"|κατάσταση|αποχώρ|ενεργ|звільн|\bстан\b|durum|çıkış|ayrıl|الحال|انتهاء|نشط|מצב|סטטוס|עזיבה|trạng thái|nghỉ việc"
    r"|สถานะ|ลาออก|nonaktif"
)
"""what a heading holds that may tell who has left"""
