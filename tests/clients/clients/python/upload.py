"""Sends one upload with requests, and prints the status of each call.

upload.py MODE URL KEY

MODE is `anew` (called twice), `retried` (called once, where urllib3 sends it again) or `once` (as docs/clients.md has it,
sent twice).
"""

import json
import sys

import with_multipart
from with_requests import http

RECEIPT = b"%PDF-1.7 receipt"


def call():
    files = {"receipt": ("receipt.pdf", RECEIPT, "application/pdf")}
    return http.post(url, headers={"Idempotency-Key": f'"{key}"'}, data={"amount": "12.00"}, files=files, timeout=30)


mode, url, key = sys.argv[1:]
if mode == "once":
    prepared = with_multipart.prepare(url, key, "12.00", RECEIPT)
    answers = [with_multipart.send(prepared) for _ in range(2)]
else:
    answers = [call() for _ in range(2 if mode == "anew" else 1)]
print(json.dumps([answer.status_code for answer in answers]))
