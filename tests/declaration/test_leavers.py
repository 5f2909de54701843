"""Who has left, as lists in many languages and from many systems say it: no such row becomes an account unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailprov.declaration.staff import preview

# A heading, what it says of whoever stays, and of whoever has left.
COLUMNS = (
    *(("status", "ACTIVE", "DEPROVISIONED"), ("AccountDisabled", "False", "True"), ("nsAccountLock", "FALSE", "TRUE")),
    *(("RecipientTypeDetails", "UserMailbox", "DisabledUser"), ("Mailbox Status", "Active", "Inactive")),
    *(("Termination Date", "", "2024-01-02"), ("Worker Status", "Active", "Terminated"), ("EMPL_STATUS", "A", "T")),
    *(("Austrittsdatum", "", "31.12.2024"), ("Kündigungsdatum", "", "31.12.2024"), ("Beschäftigt", "ja", "nein")),
    *(("Date de sortie", "", "31/12/2024"), ("Situation", "en poste", "sorti"), ("Fin de contrat", "", "31/12/2024")),
    *(("Fecha de baja", "", "31/12/2024"), ("Situación", "Alta", "Baja"), ("Estado", "Alta", "Baja")),
    *(("Situação", "Ativo", "Desligado"), ("Data de demissão", "", "31/12/2024"), ("Ativo", "Sim", "Não")),
    *(("Data cessazione", "", "31/12/2024"), ("Attivo", "Sì", "No"), ("Situazione", "In servizio", "Cessato")),
    *(("Datum uit dienst", "", "31-12-2024"), ("In dienst", "ja", "nee"), ("Dienstverband", "actief", "beëindigd")),
    *(("Data zwolnienia", "", "31.12.2024"), ("Zatrudniony", "tak", "nie"), ("Stan", "czynny", "zwolniony")),
    *(("Datum ukončení", "", "31.12.2024"), ("Stav", "Aktivní", "Neaktivní"), ("Zaměstnán", "ano", "ne")),
    *(("Slutdatum", "", "2024-12-31"), ("Anställd", "ja", "nej"), ("Fratrådt", "", "31.12.2024")),
    *(("Työsuhde päättynyt", "", "31.12.2024"), ("Tila", "käytössä", "suljettu"), ("Állapot", "aktív", "kilépett")),
    *(("Stare", "activ", "inactiv"), ("Κατάσταση", "Ενεργός", "Ανενεργός"), ("Ημερομηνία αποχώρησης", "", "31/12/24")),
    *(("Дата увольнения", "", "31.12.2024"), ("Статус", "Работает", "Уволен"), ("Дата звільнення", "", "31.12.2024")),
    *(("Стан", "Працює", "Звільнений"), ("Durum", "Aktif", "Pasif"), ("İşten çıkış tarihi", "", "31.12.2024")),
    *(("الحالة", "نشط", "غير نشط"), ("تاريخ انتهاء الخدمة", "", "31/12/2024"), ("סטטוס", "פעיל", "לא פעיל")),
    *(("退職日", "", "2024/03/31"), ("在籍区分", "在籍", "退職"), ("퇴사일", "", "2024-03-31")),
    *(("재직구분", "재직", "퇴직"), ("離職日", "", "2024/03/31"), ("在職狀況", "在職", "離職")),
    *(("Trạng thái", "Đang làm việc", "Đã nghỉ việc"), ("สถานะ", "ทำงาน", "ลาออก"), ("Keterangan", "aktif", "keluar")),
)
WORDS = (
    *(
        "Engineer (left)",
        "left 2024-03",
        "left in 03/2024",
        "Sales, left March 2024",
        "no longer with us",
        "resigned 31.03.2024",
        "ex-employee",
    ),
    *("dado de baja", "inativo", "cessato", "dimesso", "niet meer in dienst", "zwolniony", "neaktivní", "pasif"),
    *("afastado; desligado", "parti", "sorti(e)", "avslutad", "ανενεργός", "звільнений", "غير نشط", "đã nghỉ việc"),
)
HONEST = (
    *(
        "Left Luggage",
        "Desk left 12",
        "1 left, 2 right",
        "Lower left desk",
        "Baja California",
        "Nord",
        "Stanislav",
        "Exchange",
        "In-store",
        "Ventas",
    ),
    *("1. OG links", "Pasifik", "Partie Nord", "left-handed"),
)


def shut(folder: Path, heading: str, stays: str, gone: str) -> bool:
    """Whether the second of two users gets no account: the list is refused, or has her disabled."""
    path = folder / "staff.csv"
    text = f'email,name,{heading}\na@example.com,Anna,"{stays}"\nb@example.com,Bert,"{gone}"\n'
    path.write_text(text, encoding="utf-8-sig")
    found = preview(path, "", "")
    return bool(found.errors) or not found.users[1].protocols


@pytest.mark.parametrize(("heading", "stays", "gone"), COLUMNS)
def test_a_column_that_tells(tmp_path: Path, heading: str, stays: str, gone: str) -> None:
    assert shut(tmp_path, heading, stays, gone)


@pytest.mark.parametrize("heading", ["Title", "Department", "Anything"])
@pytest.mark.parametrize("text", WORDS)
def test_a_cell_that_tells(tmp_path: Path, heading: str, text: str) -> None:
    assert shut(tmp_path, heading, "Research", text)


@pytest.mark.parametrize("heading", ["Title", "Anything"])
@pytest.mark.parametrize("text", HONEST)
def test_what_tells_nothing(tmp_path: Path, heading: str, text: str) -> None:
    assert not shut(tmp_path, heading, "Research", text)
