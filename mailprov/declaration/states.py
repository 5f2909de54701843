"""Who of a staff list may use a mailbox: the columns and the words that tell, as other systems write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from mailprov.declaration import leaver_words
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.unseen import without_unseen

_GONE: Final = leaver_words.GONE | frozenset(
    {
        *("suspended", "inactive", "disabled", "deactivated", "archived", "deleted", "terminated", "resigned"),
        *("offboarded", "leaver", "leavers", "ex-employee", "ex-employees", "former employee", "former employees"),
        *("locked", "lockout", "closed", "blocked", "former staff", "soft deleted", "soft-deleted"),
        *("left the company", "no longer employed", "dismissed", "离职", "已离职", "离职人员", "离职员工"),
        *("已离职员工", "退出企业", "已退出", "退休", "已退休", "停用", "已停用", "禁用", "已禁用", "冻结", "已冻结"),
        *("暂停", "已暂停", "暂停使用", "注销", "已注销", "已删除", "已锁定", "封停", "已封停", "未启用", "不启用"),
        *("已辞职", "辞职", "已辞退", "辞退", "前员工", "離職", "已離職", "離職人員", "離職員工", "已停權", "停權"),
        *("凍結", "已凍結", "暫停", "已暫停", "停用中", "註銷", "已註銷", "已刪除", "退職", "退職者", "退職済"),
        *("退職済み", "停止", "停止中", "無効", "削除済み", "퇴사", "퇴사자", "퇴직", "퇴직자", "정지", "중지"),
        *("비활성", "비활성화", "사용중지", "사용 중지", "уволен", "уволена", "заблокирован", "заблокирована"),
        *("отключен", "отключён", "отключена", "неактивен", "gesperrt", "deaktiviert", "inaktiv", "ausgeschieden"),
        *("gekündigt", "gelöscht", "suspendu", "suspendue", "désactivé", "désactivée", "inactif", "supprimé"),
        *("parti", "suspendido", "suspendida", "inactivo", "inactiva", "desactivado", "deshabilitado", "sospeso"),
        *(
            "disattivato",
            "退社",
            "退社済",
            "退社済み",
            "ausgetreten",
            "entlassen",
            "fired",
            "laid off",
            "已离开",
            "已解聘",
        ),
        *("disabled users", "disabled accounts", "inactive users", "former users", "deleted users", "ex employees"),
    }
)
"""what says by itself, whatever its column is called, that somebody has left or is shut out"""
_FALSE: Final = _GONE | {
    *("false", "no", "n", "0", "off", "f", "locked out", "left", "former", "失效", "无效", "expired", "revoked"),
    *("denied", "retired", "gone", "not active", "not enabled", "maintenance", "否", "锁定", "異常", "いいえ"),
    *("아니오", "아니요", "нет", "nein", "non", "não"),
}
_TRUE: Final = frozenset(
    {
        *("true", "yes", "y", "1", "on", "t", "active", "activated", "enabled", "ok", "current", "employed"),
        *("allowed", "是", "启用", "已启用", "正常", "有效", "在职", "已激活", "激活", "试用", "试用期", "使用中"),
        *("啟用", "已啟用", "在職", "有効", "はい", "사용", "사용중", "활성", "재직", "예", "да", "активен"),
        *("активна", "включен", "aktiv", "ja", "oui", "actif", "activo", "activa", "si", "sí", "attivo", "sim"),
        *("ativo", "正式", "已转正", "转正", "实习", "在用", "在籍"),
    }
)
_SWITCH: Final = leaver_words.SWITCH | frozenset(
    {
        *("true", "false", "yes", "no", "y", "n", "t", "f", "1", "0", "on", "off", "是", "否", "はい", "いいえ"),
        *("예", "아니오", "아니요", "да", "нет", "ja", "nein", "oui", "non", "si", "sí", "sim", "não", "√", "×", "x"),
        *("✓", "✗"),
    }
)
_IN_USE: Final = frozenset(
    {
        *("active", "enabled", "正常", "在职", "在職", "有効", "启用", "已启用", "啟用", "已啟用", "使用中", "在用"),
        *("正式", "在籍", "aktiv"),
    }
)
"""what of `_TRUE` denies an end, also in a column about one; the others affirm it"""
_NOTHING: Final = frozenset({"", "-", "–", "—", "/", "n/a", "none", "null", "无", "無", "没有"})
_NOT: Final = _NOTHING | {
    *("never", "未停用", "未禁用", "未冻结", "未离职", "未離職", "未注销", "未锁定", "未删除"),
    "9223372036854775807",  # accountExpires of Active Directory: never (MS-ADA1 §2.1)
}
"""what says in a column about an end that there was none"""
_ENDED: Final = frozenset(
    {
        *("suspended", "is suspended", "suspend", "login suspended", "suspended_login", "disabled", "is disabled"),
        *("account disabled", "accountdisabled", "deactivated", "inactive", "deleted", "is deleted", "archived"),
        *("is archived", "locked", "is locked", "account locked", "lockedout", "blocked", "is blocked"),
        *("block credential", "blockcredential", "block sign in", "block sign-in", "sign-in blocked"),
        *("sign in blocked", "soft deletion time stamp", "soft deletion timestamp", "softdeletiontimestamp"),
        *("terminated", "leaver", "left", "left on", "leaving date", "leave date", "date left", "termination date"),
        *("terminationdate", "last working day", "last day", "exit date", "resignation date", "offboarding date"),
        *("deletion time", "停用", "是否停用", "禁用", "是否禁用", "冻结", "是否冻结", "离职", "是否离职"),
        *("离职日期", "离职时间", "锁定", "是否锁定", "注销", "是否注销", "已删除", "是否删除", "停用时间"),
        *("停用日期", "離職", "是否離職", "離職日期", "是否停權", "退職日", "퇴사일", "퇴직일", "gesperrt"),
        *("austrittsdatum", "deaktiviert", "suspendu", "date de départ", "дата увольнения", "уволен", "заблокирован"),
        *("accountexpires", "accountexpirationdate", "nsaccountlock", "pwdaccountlockedtime", "deleteddatetime"),
        *("禁用状态", "停用状态", "冻结状态", "锁定状态", "离职原因", "离职类型", "離職原因", "退社日", "austritt"),
        *("termination reason", "reason for leaving", "leaving reason", "kündigungsgrund"),
    }
)
"""headings of columns that say who has left or is shut out"""
_BITS: Final = frozenset({"useraccountcontrol"})
_DISABLED: Final = 2
"""ADS_UF_ACCOUNTDISABLE of Active Directory's userAccountControl (MS-ADTS §2.2.16)"""
_USUAL_BITS: Final = frozenset({"512", "514", "544", "546", "66048", "66050", "66080", "66082", "262656", "262658"})
"""what userAccountControl of people nearly always is"""
STATES: Final = (
    *("enabled", "active", "启用", "是否启用", "account enabled", "accountenabled", "is enabled", "is active"),
    *("isactive", "status", "new status", "account status", "account state", "user status", "user state"),
    *("mailbox status", "zimbraaccountstatus", "employment status", "employee status", "license status"),
    *("accountstatus", "userstatus", "状态", "账号状态", "帐号状态", "账户状态", "帐户状态", "用户状态", "邮箱状态"),
    *("启用状态", "激活状态", "员工状态", "在职状态", "是否在职", "人员状态", "成员状态", "使用状态", "是否有效"),
    *("狀態", "帳號狀態", "啟用", "是否啟用", "在職狀態", "是否在職", "状況", "状態", "ステータス", "有効"),
    *("在籍状況", "상태", "계정 상태", "재직상태", "재직 상태", "статус", "состояние", "активен", "statut", "état"),
    *("estado", "stato", "zustand", "aktiv", "kontostatus", "actif"),
    *sorted(_ENDED),
    *sorted(_BITS),
)
"""headings of columns that say who may use a mailbox"""
_HINT: Final = re.compile(
    "leav(e date|er|ing)|left|terminat|dismiss|resign|suspen|disab|activ|archiv|delet|lock(ed|out)|block|offboard|exit"
    "|retire|expir|end date|valid (to|until)|last (working )?day|status|account ?lock|离[职岗开]|離[職崗開]|辞[职退]"
    "|解[聘雇]|开除|退[休职職社出]|[停禁封]用|停[职權权止]|冻结|凍結|[注註][销銷]|锁定|鎖定|[删刪]除|[失无無有]效|有効"
    "|無効|状[态況况態]|狀[態況]|在[职職岗籍]|[启啟]用|到期|[终終]止|截止|最[后後]工作|퇴[사직]|상태|정지|중지|활성|재직"
    "|austritt|ausge(schied|tret)|kündig|sperr|aktiv|entlass|gelöscht|vertragsende|ablauf|départ|sortie|actif|licenci"
    "|supprim|statut|bajas?\\b|cese|salida|estado|dimission|cessazione|stato\\b|desligamento|demiss|увол|блокир|отключ"
    f"|статус|состояни|актив|{leaver_words.HINT}"
)
"""what a heading holds that may tell who has left, in whatever words"""
_OF_PASSWORDS: Final = re.compile("passw|pwd|密码|密碼|kennwort|pswd")
_APART: Final = re.compile(r"[()\[\]{}（）【】〔〕「」<>/\\|,.;:=、。]+|[0-9][0-9./:年月日-]*")
_DAY: Final = re.compile(
    r"(?:[0-9]{4}([-/.])[0-9]{1,2}(?:\1[0-9]{1,2})?|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:[0-9]{2}){1,2}"
    r"|[0-9]{1,2}[ .-]+[a-z]{3,9}[ .-]+(?:[0-9]{2}){1,2}|[a-z]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
    r"|[0-9]{4}年[0-9]{1,2}月(?:[0-9]{1,2}日)?|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{6})?)"
    r"(?:[t ]?[0-9:.+-]+)?(?: ?[ap]m)?z?|[0-9]{10,14}(?:\.[0-9]+)?z|1[0-9]{17}"
)
"""a day, perhaps with a time: as spreadsheets write it, LDAP (RFC 4517 §3.3.13) and Active Directory (FILETIME)"""
_LEFT: Final = re.compile(
    r"[(\[] ?(?:left|gone|former|ex|quit|departed) ?[)\]]|no longer (?:with|at|in|employed|working)\b"
    r"|(?:^|[(\[,;] ?)(?:left|quit|departed|gone|resigned|dismissed|terminated)\b"
    r"(?: (?:us|on|in|since|the company))*[ :,-]+(?:[a-z]{3,9}\.? )?[0-9]"
)
"""what says so only where it stands in brackets, or before a day"""
_LONGEST: Final = 300
"""characters that are looked at for a word: as many as a distinguished name may have, and fewer than an essay"""


def reader(heading: str) -> Callable[[str], bool]:
    """What tells whether somebody may use a mailbox, from a cell of the column of this (plain) heading. It raises
    Wrong where it cannot tell."""
    if heading in _ENDED:
        return _not_ended
    return _by_bits if heading in _BITS else enabled


def enabled(text: str) -> bool:
    """Whether a mailbox may be used; nothing means that it may. Raises Wrong."""
    found = _plain(text)
    if not found or found in _TRUE:
        return True
    if found in _FALSE:
        return False
    raise InvalidValue("this is no state of an account that is known here", "write yes or no")


def _not_ended(text: str) -> bool:
    found = _plain(text)
    if found in _GONE or found == "left":
        return False
    if found in _NOT or found in _FALSE or found in _IN_USE:
        return True
    if found in _TRUE:
        return False
    fix = "delete this line; or, who still works here: empty this cell"
    raise InvalidValue("this column says who has left or is shut out, and for this line it says something", fix)


def _by_bits(text: str) -> bool:
    found = _plain(text)
    if not found:
        return True
    if re.fullmatch("[0-9]{1,10}", found):
        return not int(found) & _DISABLED
    raise InvalidValue("this is no number, as userAccountControl has it", "write it as Active Directory does: 512")


def gone(text: str) -> bool:
    """Whether a cell of any column, or a part of it that is set apart, says that somebody has left or is shut out."""
    if len(text) > _LONGEST:
        return False
    found = _plain(text)
    return found in _GONE or any(part.strip() in _GONE for part in _APART.split(found)) or bool(_LEFT.search(found))


def is_nothing(text: str) -> bool:
    """Whether a cell says nothing: it is empty, or has a dash."""
    return len(text) <= _LONGEST and _plain(text) in _NOTHING


def is_switch(text: str) -> bool:
    """Whether a cell says no more than yes or no, which userAccountControl also does, or than a day."""
    if len(text) > _LONGEST:
        return False
    found = _plain(text)
    return found in _SWITCH or found in _USUAL_BITS or _DAY.fullmatch(found) is not None


def is_hinted(heading: str) -> bool:
    """Whether a (plain) heading that is not known may be one of a column that says who has left."""
    return _HINT.search(heading) is not None and not _OF_PASSWORDS.search(heading)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", without_unseen(text)).casefold().split())
