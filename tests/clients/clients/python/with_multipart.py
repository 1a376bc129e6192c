import requests

from with_requests import http


def prepare(url: str, key: str, amount: str, receipt: bytes):
    """Encodes the form once: however often it is sent, its boundary and its bytes stay what they are."""
    headers = {"Idempotency-Key": f'"{key}"'}
    files = {"receipt": ("receipt.pdf", receipt, "application/pdf")}
    return requests.Request("POST", url, headers=headers, data={"amount": amount}, files=files).prepare()


def send(prepared, timeout=30):
    return http.send(prepared, timeout=timeout)
