"""Who of a staff list may use a mailbox: the columns and the words that tell, as other systems write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from mailprov.declaration.diagnostics import InvalidValue

_GONE: Final = frozenset(
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
        *("disattivato",),
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
        *("ativo",),
    }
)
_SWITCH: Final = frozenset(
    {
        *("true", "false", "yes", "no", "y", "n", "t", "f", "1", "0", "on", "off", "是", "否", "はい", "いいえ"),
        *("예", "아니오", "아니요", "да", "нет", "ja", "nein", "oui", "non", "si", "sí", "sim", "não", "√", "×", "x"),
        *("✓", "✗"),
    }
)
_NOT: Final = frozenset({"-", "–", "—", "/", "n/a", "none", "null", "never", "无", "無", "没有"})
"""what an empty cell of a column about an end looks like"""
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
    }
)
"""headings of columns that say who has left or is shut out"""
_BITS: Final = frozenset({"useraccountcontrol"})
_DISABLED: Final = 2
"""ADS_UF_ACCOUNTDISABLE of Active Directory's userAccountControl (MS-ADTS §2.2.16)"""
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
_APART: Final = re.compile(r"[()\[\]{}（）【】〔〕「」<>/\\|]+")
_LONGEST: Final = 40


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
    if not found or found in _NOT or found in _FALSE:
        return True
    if found in _TRUE and found not in ("active", "正常", "在职", "在職", "有効", "enabled"):
        return False
    if found in _TRUE:
        return True
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
    return any(part.strip() in _GONE for part in _APART.split(_plain(text)))


def is_switch(text: str) -> bool:
    """Whether a cell says no more than yes or no."""
    return len(text) <= _LONGEST and _plain(text) in _SWITCH


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
