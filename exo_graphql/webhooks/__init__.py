"""Events for other programs: each is sent to URLs, signed as https://www.standardwebhooks.com specifies.

Read `target` first (a URL, and which events it gets), then `message` (what is sent), `schedule` (pure: what is sent
next, and when again after a failure) and `attempt` (one request and what came of it). `delivery` does all of it for one
URL, and keeps in the store (`records`) how far it is; `webhooks` is all URLs together. `secret` is the key of the
signatures.
"""
