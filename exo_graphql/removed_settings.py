"""Settings of earlier versions: one that is given still has no effect, but a warning that says what to do."""


def _fixed(rules: str, module: str, names: str) -> dict[str, str]:
    """For settings that have become constants: where these are. `old=new`: the constant has another name."""
    pairs = (name.partition("=") for name in names.split())
    return {old: f"its value is fixed now, see {rules}.{new or old} in exo_graphql/{module}" for old, _, new in pairs}


# Each with the text of its warning. For one version they are accepted.
REMOVED = {
    "max_rate": "it counted all clients of a proxy as one; limit rates in the proxy, as the README does by limit_req",
    "max_waiting": "what waits is limited by its cost; use max_waiting_cost",
    "cache": "results and documents are always cached; the cache changes no answer",
    "compiled": "operations are always compiled where they can be; compiling changes no answer",
    "max_age": "its value is fixed now, see MAX_AGE in exo_graphql/engine/service.py",
    **_fixed("PollerRules", "exo/pacing.py", "rest_pause=normal_pause rest_share=normal_share idle_pause"),
    **_fixed("PollerRules", "exo/pacing.py", "quick_pause=fast_pause quick_share=fast_share"),
    **_fixed("PollerRules", "exo/pacing.py", "read_timeout lost_after command_timeout"),
    **_fixed("Rules", "cluster/rules.py", "still_after give_up_after empty_grace"),
    **_fixed("OperationRules", "operations/rules.py", "memory_seconds"),
    **_fixed("Limits", "engine/limits.py", "max_document_characters max_tokens max_depth max_fields max_pairs"),
    **_fixed("Limits", "engine/limits.py", "max_aliases max_directives max_definitions max_list_items"),
    **_fixed("Limits", "engine/limits.py", "max_variables_bytes max_errors"),
    "max_wishes": "its value is fixed now, see Limits.max_mutations in exo_graphql/engine/limits.py",
    "max_wish_cost": "its value is fixed now, see Limits.max_mutation_cost in exo_graphql/engine/limits.py",
    **_fixed("TransportRules", "transports/rules.py", "header_timeout body_timeout init_timeout"),
    **_fixed("TransportRules", "transports/rules.py", "keep_alive send_timeout max_message_bytes"),
}
# Those of `REMOVED` that were switches: no value, and a second flag --no-…
REMOVED_SWITCHES = ("cache", "compiled")
