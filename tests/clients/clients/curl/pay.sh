# pay URL KEY: the payment is in payment.json, its answer goes to answer.json, and the status is printed.
pay() {
    curl --silent --show-error --output answer.json --write-out '%{http_code}' \
        --retry 5 --retry-all-errors --fail-with-body \
        --connect-timeout 5 --max-time "${TIMEOUT:-30}" \
        --header "Idempotency-Key: \"$2\"" --header 'Content-Type: application/json' \
        --data-binary @payment.json "$1"
}
