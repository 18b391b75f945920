# Patroni's own client of etcd 3 (its class for the JSON gateway), as two of its members use it: who initializes, who
# leads, who is there, for a few seconds in which a node is killed. Prints 'ready' when it may be, 'done' at the end.

import os
import sys
import time

from patroni.dcs.etcd3 import Etcd3


def member(name):
    settings = {'scope': 'demo', 'namespace': '/service/', 'ttl': 10, 'loop_wait': 2, 'retry_timeout': 10}
    return Etcd3({'hosts': sys.argv[1].split(','), 'name': name, **settings})


def until(what, holds):
    # Patroni reads from a cache that its watch fills.
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def leader(seen_by):
    cluster = seen_by.get_cluster()
    return cluster.leader and cluster.leader.name


one, two = member('one'), member('two')
assert one.initialize(create_new=True, sysid='71')
assert not two.initialize(create_new=True, sysid='72')
assert one.touch_member({'conn_url': 'postgres://one', 'state': 'running'})
assert two.touch_member({'conn_url': 'postgres://two', 'state': 'running'})
assert one.attempt_to_acquire_leader()
until('both see who leads', lambda: leader(one) == leader(two) == 'one')
until('both are seen', lambda: sorted(m.name for m in two.get_cluster().members) == ['one', 'two'])
assert not two.attempt_to_acquire_leader()
print('ready', flush=True)
end = time.monotonic() + 3
while time.monotonic() < end:
    assert one.update_leader(1234)
    assert leader(one) == 'one'
    one.watch(None, 0.2)
assert one.delete_leader(1234)
until('nobody leads', lambda: leader(two) is None)
assert two.attempt_to_acquire_leader()
until('another leads', lambda: leader(one) == 'two')
assert two.set_failover_value('{"leader":"two"}')
print('done', flush=True)
os._exit(0)
