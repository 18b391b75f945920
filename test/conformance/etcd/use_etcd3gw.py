# python's etcd3gw over the JSON gateway of one node, while another is killed. Prints 'ready' when it may be, 'done'
# at the end.

import os
import sys
import threading
import time

from etcd3gw.client import Etcd3Client

host, port = sys.argv[1].split(':')
client = Etcd3Client(host=host, port=int(port), timeout=20, api_path='/v3/')
assert len(client.members()) == 3
assert client.put('py/a', '1') and client.get('py/a') == [b'1']
assert client.create('py/once', 'x') is True and client.create('py/once', 'y') is False
assert client.replace('py/once', 'x', 'z') is True
lease = client.lease(ttl=30)
client.put('py/leased', 'v', lease=lease)
assert lease.refresh() == 30 and 0 < lease.ttl() <= 30 and lease.keys() == [b'py/leased']
events, cancel = client.watch_prefix('py/n/')
seen = []


def follow():
    for event in events:
        seen.append(int(event['kv']['value']))


threading.Thread(target=follow, daemon=True).start()
lock = client.lock('py-lock', ttl=30)
assert lock.acquire()
print('ready', flush=True)
for i in range(60):
    client.put('py/n/%d' % i, str(i))
    time.sleep(0.02)
assert lock.is_acquired() and lock.release()
assert len(client.get_prefix('py/n/')) == 60
answer = client.transaction({
    'compare': [{'key': 'cHkvYQ==', 'result': 'EQUAL', 'target': 'VERSION', 'version': '1'}],
    'success': [{'request_put': {'key': 'cHkvYQ==', 'value': 'Mg=='}}],
    'failure': [],
})
assert answer.get('succeeded') is True, answer
assert lease.revoke() and client.get('py/leased') == []
assert client.delete('py/a') is True
while len(seen) < 60:
    time.sleep(0.05)
assert seen == list(range(60)), seen
print('done', flush=True)
os._exit(0)
