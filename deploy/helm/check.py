"""Lints the chart, renders it with several values, and validates every manifest by Kubernetes' own schemas. Offline.

Needs helm-python-sdk and kubernetes-validate (xtask/tools/helm.txt). Prints what was looked at, one line each; fails with what is wrong.
"""

import pathlib
import sys

import helm_python.chart as helm
import kubernetes_validate
import yaml

CHART = pathlib.Path(__file__).parent / "anamnesis"
DIGEST = "sha256:" + "0" * 64
ROLES = ["command-api", "query-api", "projector", "saga", "relay", "outbound"]

VALUES = {
    "as it comes": {},
    "everything on": {
        "image": {"digest": DIGEST},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"LOG": "info"},
        "roles": {"outbound": {"replicas": 1, "settings": {"SMS_URL": "https://sms.example.org/messages"}}},
        "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls", "annotations": {"a/b": "c"}},
        "networkPolicy": {"clientsFrom": [{"namespaceSelector": {}}]},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "clinic", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "everything off": {
        "gateway": {"enabled": False},
        "migrate": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "prometheusAnnotations": False,
        "topologySpread": False,
        "roles": {role: {"replicas": 1, "autoscaling": {"enabled": False}} for role in ROLES},
    },
}

WRONG = {
    "a role that does not exist": {"roles": {"projektor": {"replicas": 1}}},
    "a setting in small letters": {"settings": {"log": "info"}},
    "no digest": {"image": {"digest": "latest"}},
    "an ingress without a gateway": {"ingress": {"enabled": True}, "gateway": {"enabled": False}},
}


def manifests(chart, values):
    rendered = chart.render(values=values, name="trials", namespace="clinic")
    for path, text in sorted(rendered.items()):
        if not path.endswith(".yaml"):
            continue
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and "kind" in document:
                yield document


def unsafe(document):
    """What of a pod is less than it can be."""
    template = document.get("spec", {}).get("template", {}).get("spec")
    if template is None:
        return
    if not template["securityContext"].get("runAsNonRoot") or template.get("automountServiceAccountToken", True):
        yield "may be root, or ask the cluster"
    for container in template["containers"]:
        security = container["securityContext"]
        if security["allowPrivilegeEscalation"] or not security["readOnlyRootFilesystem"] or security["capabilities"]["drop"] != ["ALL"]:
            yield f"{container['name']} may do more than it must"
        if "memory" not in container["resources"]["limits"]:
            yield f"{container['name']} has no limit of memory"
        for variable in container.get("env", []):
            if ("KEY" in variable["name"] or "URL" in variable["name"]) and "DATABASE" in variable["name"] and "value" in variable:
                yield f"{variable['name']} stands in the clear"


def main():
    faults = []
    report = helm.lint(CHART, strict=True)
    faults.extend(f"lint: {message}" for message in report["errors"])
    faults.extend(f"lint: {message}" for message in report["messages"] if message["severity"] >= 2)
    chart = helm.Chart.load(str(CHART))
    for name, values in VALUES.items():
        kinds = {}
        for document in manifests(chart, values):
            what = f"{name}: {document['kind']} {document['metadata']['name']}"
            try:
                kubernetes_validate.validate(document, "1.31", strict=True)
            except Exception as fault:  # whatever it is that does not fit
                faults.append(f"{what}: {fault}")
            faults.extend(f"{what}: {fault}" for fault in unsafe(document))
            kinds[document["kind"]] = kinds.get(document["kind"], 0) + 1
        print(name, dict(sorted(kinds.items())))
        if kinds.get("Deployment", 0) < len(ROLES):
            faults.append(f"{name}: a role is missing")
    for name, values in WRONG.items():
        try:
            list(manifests(chart, values))
        except Exception as refused:
            print("refused:", name, "-", str(refused).splitlines()[-1][:120])
        else:
            faults.append(f"{name} is taken")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
