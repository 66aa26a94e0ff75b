"""Expressions of admission policies, as far as our policies go.

celpy parses them all and evaluates those that judge. What a patch writes is objects of the API
server's types, which celpy does not know: those are read off the parsed text.
"""

import json

import celpy

# Rules that are not gone below.
VALUES = ("ident", "list_lit", "literal", "map_lit", "member_object")


def true(expression, **variables):
    """Whether an expression holds."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return bool(program.evaluate({k: celpy.json_to_cel(v) for k, v in variables.items()}))


def patches(expression, pod):
    """What `has(object.spec.FIELD) ? [JSONPatch{...}] : [JSONPatch{...}]` does to a pod."""
    whole = core(celpy.Environment().compile(expression))
    condition, present, absent = whole.children
    (asked,) = condition.find_data("exprlist")
    root, spec, field = dotted(asked).split(".")
    assert (root, spec) == ("object", "spec"), dotted(asked)
    chosen = present if pod["spec"].get(field) else absent
    return [read(patch, "JSONPatch") for patch in core(chosen).children[0].children]


def apply(pod, patch):
    """One `add` of JSON Patch (RFC 6902), as our policies use it: into the pod's spec."""
    assert patch["op"] == "add", patch
    spec, field, *index = patch["path"].removeprefix("/").split("/")
    assert spec == "spec", patch
    if index:
        pod["spec"][field].insert(int(index[0]), patch["value"])
    else:
        assert field not in pod["spec"], f"{patch['path']} would be overwritten"
        pod["spec"][field] = patch["value"]


def core(tree):
    """Below the rules that only pass on."""
    while len(tree.children) == 1 and tree.data not in VALUES:
        tree = tree.children[0]
    return tree


def read(tree, path):
    """A value; an object must be of the type that its place in the pod has."""
    tree = core(tree)
    if tree.data == "literal":
        return json.loads(str(tree.children[0]))
    if tree.data == "list_lit":
        return [read(item, path) for part in tree.children for item in part.children]
    if tree.data == "map_lit":
        parts = [part for inits in tree.children for part in inits.children]
        return {read(k, path): read(v, path) for k, v in zip(parts[::2], parts[1::2])}
    assert tree.data == "member_object", tree.data
    type_name, *inits = tree.children
    assert dotted(type_name) == path, f"{dotted(type_name)} stands where {path} is due"
    parts = [part for init in inits for part in init.children]
    fields = {}
    for name, value in zip(parts[::2], parts[1::2]):
        below = f"{path}.{name}"
        if path == "JSONPatch" and name == "value":
            below = "Object.spec." + fields["path"].split("/")[2]
        fields[str(name)] = read(value, below)
    return fields


def dotted(tree):
    tree = core(tree)
    if tree.data == "member_dot":
        head, name = tree.children
        return f"{dotted(head)}.{name}"
    assert tree.data == "ident", tree.data
    return str(tree.children[0])
