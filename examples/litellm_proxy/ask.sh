#!/usr/bin/env bash
# Three formats, one conversation each, and what was kept of them. The proxy runs (see config.yaml).
set -euo pipefail
proxy=${PROXY:-http://127.0.0.1:4000}
ask() {
    curl --silent --show-error --fail "$proxy$1" \
        -H "Authorization: Bearer $LITELLM_MASTER_KEY" -H "Content-Type: application/json" \
        -H "x-litellm-session-id: $2" -d "$3"
    echo
}
ask /v1/chat/completions ada-0002 '{"model": "assistant", "messages": [{"role": "user", "content": "Where is my order?"}]}'
ask /v1/responses ben-0001 '{"model": "assistant", "input": "Where is my order?"}'
ask /v1/messages cleo-0001 '{"model": "assistant", "max_tokens": 99, "messages": [{"role": "user", "content": "Where is my order?"}]}'
# the same history again, and a bit more: only what is new is kept
ask /v1/chat/completions ada-0002 '{"model": "assistant", "messages": [
    {"role": "user", "content": "Where is my order?"}, {"role": "assistant", "content": "Your order is on its way."},
    {"role": "user", "content": "Thank you!"}]}'
