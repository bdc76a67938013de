"""Who is in the network: which transaction manager holds which TM public key.

Only what tm.conf lists is believed, and a transaction manager only about itself: a key belongs to a URL when tm.conf
says so (`otherkeys`), or when the transaction manager at that URL, asked there, says it holds it. What anybody says
of others, or of itself without being asked, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from quorumkit.tm.keys import format_public_key
from quorumkit.tm.urls import normalise_url
from quorumkit.tm.wire import Dialect, PartyInfo


@dataclass
class Peer:
    """Another transaction manager of the network."""

    url: str
    answered: bool = False
    """Whether it has sent its keys since this transaction manager started."""
    dialect: Dialect | None = None
    """How it writes; None before its first answer shows it."""
    keys: set[bytes] = field(default_factory=set)


class Parties:
    """The network's list, and what its members say of themselves."""

    def __init__(
        self, own_url: str, own_keys: Iterable[bytes], other_nodes: Iterable[str], other_keys: Mapping[bytes, str]
    ) -> None:
        """URLs are normalised. With `other_keys` (key to URL) no other keys are accepted."""
        self.own_url = own_url
        self.own_keys = tuple(own_keys)
        self.peers: dict[str, Peer] = {}
        self._pinned = False
        self._url_of: dict[bytes, str] = {}
        self.relist(other_nodes, other_keys)

    def relist(self, other_nodes: Iterable[str], other_keys: Mapping[bytes, str]) -> None:
        """Takes another list of the network in the place of the present one; what members said of themselves stays."""
        self.peers = {url: self.peers.get(url) or Peer(url) for url in other_nodes}
        self._pinned = bool(other_keys)
        if self._pinned:
            self._url_of = dict(other_keys)
        else:
            self._url_of = {key: url for key, url in self._url_of.items() if url in self.peers}
        for peer in self.peers.values():
            peer.keys = {key for key, url in self._url_of.items() if url == peer.url}

    def peer_of(self, key: bytes) -> Peer | None:
        """The transaction manager that holds `key`; None if no member of the network is known to."""
        url = self._url_of.get(key)
        return None if url is None else self.peers[url]

    def peer_at(self, url: str) -> Peer | None:
        """The member of the network with this URL, in any spelling."""
        try:
            return self.peers.get(normalise_url(url))
        except ValueError:
            return None

    def complete(self) -> bool:
        """Whether every key of the network can be known by now."""
        return self._pinned or all(peer.answered for peer in self.peers.values())

    def learn(self, peer: Peer, info: PartyInfo, dialect: Dialect) -> list[str]:
        """Takes in what `peer` answered when asked at its own URL.

        Returns what was refused, a sentence each: keys that tm.conf does not list for it or that another one holds.
        """
        claimed = {key for key, url in info.recipients if self.peer_at(url) is peer}
        refused = []
        if not self._pinned:
            for key in peer.keys - claimed:
                self._url_of.pop(key, None)  # gone already where the list changed while the peer was asked
            peer.keys &= claimed
        for key in sorted(claimed - peer.keys):
            holder = self._url_of.get(key)
            if self._pinned or key in self.own_keys or holder is not None:
                reason = "tm.conf does not list it there" if self._pinned else f"it is {holder or self.own_url}'s"
                refused.append(f"{peer.url} says it holds {format_public_key(key)}: refused, {reason}")
            else:
                self._url_of[key] = peer.url
                peer.keys.add(key)
        peer.dialect = dialect
        peer.answered = True
        return refused

    def info(self, *, with_recipients: bool = True) -> PartyInfo:
        """What this transaction manager tells of itself: its own keys, and the list of the network's URLs."""
        recipients = tuple((key, self.own_url) for key in self.own_keys) if with_recipients else ()
        return PartyInfo(self.own_url, recipients, (self.own_url, *self.peers))
