import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

retry = Retry(
    total=5,
    allowed_methods=Retry.DEFAULT_ALLOWED_METHODS | {"POST"},
    status_forcelist={409, 429, 502, 503, 504},
    backoff_factor=0.5,
    backoff_jitter=0.5,
    raise_on_status=False,  # after the last try: its answer, and no exception
)
http = requests.Session()
http.mount("https://", HTTPAdapter(max_retries=retry))
http.mount("http://", HTTPAdapter(max_retries=retry))


def pay(url: str, key: str, payment: bytes, timeout=30):
    headers = {"Idempotency-Key": f'"{key}"', "Content-Type": "application/json"}
    return http.post(url, data=payment, headers=headers, timeout=timeout)
