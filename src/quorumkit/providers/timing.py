"""How often providers look, and how long they wait: seconds."""

from __future__ import annotations

PROGRAMS_POLL = 0.2
"""Between two looks at node programs of this machine, which are asked over their sockets."""

CONTAINERS_POLL = 0.5
"""Between two looks at containers, all of which one command asks."""

PODS_POLL = 1.0
"""Between two looks at pods, which the cluster is asked for."""

REPLACED_PODS_POLL = 0.5
"""While pods that were deleted come again."""

CHART_POLL = 0.25
"""Until the cluster has noticed a changed StatefulSet."""

CONTAINER_STATE_EVERY = 1.0
"""Between two looks at the containers while the node program of one of them does not answer."""

RECONNECT = 0.1
"""Between two tries to reach a node program in a container that is starting."""

CONTROL_POLL = 0.02
"""The same for one of this machine."""

LOCK_POLL = 0.1
"""Between two tries to take a lock that another command has."""

ASK_PATIENCE = 4
"""How long a node program may take to report its status over HTTP. Whole seconds."""

CALL_PATIENCE = 150.0
"""How long a call may take that a command in a container or pod passes on: as long as the control socket may, and the
way there."""

FORWARD_PATIENCE = 30.0
"""How long a port-forward to a pod may take."""

PODS_STOP_PATIENCE = 180
"""How long pods may take to end. Whole seconds."""
