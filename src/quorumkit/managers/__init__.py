"""Transaction managers: what stands beside a client that has private transactions. Each answers the same questions.
This is their one list."""

from quorumkit.managers.base import TM_PROCESS, TM_SOCKET, Manager, tm_url

__all__ = ["TM_PROCESS", "TM_SOCKET", "Manager", "manager_of", "managers", "tm_url"]


def managers() -> list[Manager]:
    """All there are."""
    from quorumkit.managers.builtin import Builtin
    from quorumkit.managers.tessera import Tessera

    return [Builtin(), Tessera()]


def manager_of(kind: str) -> Manager:
    """The transaction manager of that name (the spec has checked that there is one)."""
    return next(manager for manager in managers() if manager.kind == kind)
