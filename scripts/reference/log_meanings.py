"""What each message of the log means, and what to do about it. A test holds the messages against the code."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "DOCKER_CONTEXT has no effect, because DOCKER_HOST has precedence": (
        "Both variables are set. Unset the one that you do not mean."
    ),
    "a prefix within this one has agents of its own, its keys are left alone": (
        "Agents with a longer prefix write below this one. Each such prefix is logged once. If those agents are gone "
        "for good, `if_abandoned` says how to remove what they left."
    ),
    "another agent of this host was started with other flags": (
        "Two agents of this host undo each other's changes. Stop one of them, or give both the same flags."
    ),
    "change applied": "The registry made the change. A renewal of a lifetime is logged at `debug`.",
    "change failed": (
        "The registry did not make the change: `rejected` means that it refused, `failed` that it did not answer. The "
        "change is tried again, after growing waits of up to a minute, and logged again about once an hour."
    ),
    "changed files cannot be used, their earlier content stays in use": (
        "A certificate, key or password file was changed and cannot be used. Correct it, and it is read again."
    ),
    "changed files were read again": "The new content of these files counts from now on.",
    "container readable again": "The engine describes the container again, so its entries are kept in step again.",
    "container unreadable, its entries are held": (
        "The engine lists the container and does not describe it. Its entries stay as they are until it does."
    ),
    "deletes held back until seen again": (
        "The guard puts suspicious deletes off (`--delete-guard`). `containers` says what the engine says of theirs, "
        "as in the [table](#what-the-engine-says-of-the-container-of-a-delete)."
    ),
    "document to write": "A change writes the owner record or the agent note, and this is its content.",
    "endpoint belongs to another cluster": (
        "An endpoint of the URI has another cluster id than the one that the agent knows, so nothing is written there. "
        "Take it out of the URI."
    ),
    "endpoints can be looked up again": "The name servers have answered with endpoints again.",
    "endpoints cannot be looked up, the known ones stay": (
        "The SRV record of a `+srv` URI cannot be looked up, or names no endpoint. `problem` says why. The agent goes "
        "on with the endpoints that it knows."
    ),
    "endpoints have changed": "The SRV record names other endpoints, which are used from now on.",
    "endpoints in ETCD_ENDPOINTS are not used, as each registry URI names its own; write all into the URI": (
        "registrator 9 adds the endpoints of the variable to that of the URI. Here they count only for a URI that "
        "names none, as in `etcd3:///services`."
    ),
    "environment variable is empty and counts as not set": "The variable must not be empty. Its flag has its default.",
    "environment variable is not known and has no effect": (
        "The variable begins with `WHARFINGER_` and belongs to no flag. `did_you_mean` is a similar one that does."
    ),
    "error ignored": "Python could not report an error where it occurred. Please report it with the traceback.",
    "events of the engine are polled, containers are looked at a little later": (
        "The event stream cannot be opened, so the engine is asked for its history instead."
    ),
    "events of the engine arrive, containers are looked at as soon as they change": "This is the normal state.",
    "every etcd endpoint is this host's own: with -ttl, the keys expire while it is stopped; give the endpoints of "
    "other members, too": (
        "If the etcd of this host is stopped, nobody renews the keys of this host, although its containers run."
    ),
    "first pass succeeded": (
        "The entries follow the containers from now on. `engine_kind` is `docker` or `podman`, if the engine tells it. "
        "`not_made` counts changes that the registry did not make."
    ),
    "flag is not needed: every pass compares and repairs everything": "The flag may be left out.",
    "further changes failed": "More changes of the same pass were not made than are logged one by one.",
    "key changed after it was read, the next pass decides again": (
        "Somebody wrote the key between the read and the write of this pass, so nothing was written."
    ),
    "lines of the log were lost": ("Nobody read standard error for a while, so the oldest waiting lines were dropped."),
    "no deletes held back any more": "The deletes were made, or are no longer called for.",
    "no events of the engine arrive, containers are looked at once in each interval": (
        "The engine gives neither a stream nor a history of events. Changes are seen in the next ordinary pass."
    ),
    "no other agent of this host has other flags any more": "The other agent has ended, or has the same flags now.",
    "pass begins": "If no `pass ended` follows, the pass hangs.",
    "pass broke, please report this": "The pass failed because of a bug. The agent goes on with the next pass.",
    "pass ended": (
        "What the pass read, planned and did, and how long each stage took. `consistent_read` is false if the registry "
        "may have answered with an older state."
    ),
    "pass failed": (
        "The pass did not put the entries in step. `problem` says why, and `next_in_seconds` when the next one begins."
    ),
    "pass ran out of time, the next one goes on at once": (
        "There was more to do than fits into `--pass-timeout`. `left` changes are still to be made."
    ),
    "passes succeed again": "A failure has ended. `after_seconds` is how long it lasted.",
    "port is registered with a loopback address, which only this host can dial": (
        "The port is published on the loopback, and neither a label nor `-ip` says another address."
    ),
    "port no longer refused": "The port is registered, or is no longer to be registered.",
    "port refused": (
        "The port should be registered and cannot be. `reason` is one of [these](#why-a-port-is-refused), and "
        "`detail` says what to change."
    ),
    "program ended by an error": "Please report it with the traceback.",
    "registry was replaced, wiped or restored; earlier passes are forgotten": (
        "The cluster id changed, or the index went back. The next pass counts as the first one."
    ),
    "started": (
        "A line for each registry, with the settings that count most. `address` is the one that is registered. "
        "`engine` is where the engine is, and `engine_kind` is `docker` or `podman`, if the engine has told it by then."
    ),
    "starting a pass at once": "The agent received the signal.",
    "stopping, the entries expire if no agent renews them": (
        "The agent was stopped with `-ttl`. Start one again before the lifetime is over."
    ),
    "stopping, the entries stay": (
        "The agent was stopped. Without `-ttl`, its entries stay until an agent of this host runs again."
    ),
    "the drain order cannot be read and counts as none": "The key holds no valid drain order, so nothing drains by it.",
    "the heartbeat cannot be renewed, so this agent may look dead": (
        "`wharfinger hosts` calls this agent dead once its heartbeat has expired. Its entries are not affected."
    ),
    "the heartbeat is renewed again": "The heartbeat shows again that the agent is alive.",
    "the host has another name, and its entries stay under the old one until the agent is restarted": (
        "The engine reports another host name than at the start. After a restart, the entries move to the new name."
    ),
    "the host has its old name again": "The engine reports the name again that it had at the start.",
    "the operator drains a container": "`wharfinger drain` took its entries away. `until` says how this ends.",
    "the operator drains all containers of this host": (
        "`wharfinger drain --all` took all entries away. `until` says how this ends."
    ),
    "the operator no longer drains a container": "Its entries return, if it still runs.",
    "the operator no longer drains all containers of this host": "The entries return.",
    "the v3 API has keys under this prefix, too, which are not kept; newer registrators mean the v3 API by etcd://, "
    "which is etcd3:// here": (
        "etcd has a store for each API, and this registry is kept by the v2 API. `key` is one of the other store. If "
        "consumers read that store, give `etcd3://` or `skydns3://`. The agent looks once, when it starts."
    ),
    "thread ended by an error": "Please report it with the traceback.",
    "too many HTTP connections": (
        "`problem` says which connections were closed or not accepted. `/healthz` and `/metrics` still answer."
    ),
    "with -internal, -ip counts for containers with host networking alone": (
        "`-internal` registers the address of each container, so `-ip` is not used for containers that have one."
    ),
    "with -ip-from-container, -ip counts for containers with host networking alone": (
        "`-ip-from-container` registers the address of each container, so `-ip` is not used for containers that have "
        "one."
    ),
}
