"""Transaction managers: what stands beside a client that has private transactions. Each answers the same questions."""

from quorumkit.managers.base import TM_SOCKET, Manager, manager_of, managers, tm_url

__all__ = ["TM_SOCKET", "Manager", "manager_of", "managers", "tm_url"]
