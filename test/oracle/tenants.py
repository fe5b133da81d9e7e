"""What the oracle knows of tenants: settings, and what a quota lets through.

A tenant without settings of its own has those of the entry whose tenant is null, if there is one.  A quota is
divided evenly among the partitions of the topic, rounded up; each partition counts the items of a tenant in the
current second of its own progress, which is the highest event time that it has seen.
"""

from collections import Counter

from reading import US

FIELDS = {'tenant', 'enabled', 'dimensions', 'items_per_second'}


class Usage:
    """What tenants have used and how their events were counted, whatever their settings are by now."""

    def __init__(self, partitions):
        self.partitions = partitions
        self.used = {}  # (partition, tenant) -> [second, items]
        self.counts = {}  # tenant -> Counter

    def count(self, tenant, what, n=1):
        self.counts.setdefault(tenant, Counter())[what] += n


class Tenants:
    """The settings of tenants, of one version of the configuration."""

    def __init__(self, entries, usage):
        for entry in entries:
            if set(entry) - FIELDS:
                raise SystemExit(f'recount: unknown settings of a tenant: {", ".join(sorted(set(entry) - FIELDS))}')
        self.settings = {entry.get('tenant'): entry for entry in entries}
        self.usage = usage

    def of(self, tenant):
        return self.settings.get(tenant, self.settings.get(None, {}))

    def is_disabled(self, tenant):
        if self.of(tenant).get('enabled', True):
            return False
        self.usage.count(tenant if tenant in self.settings else '(other)', 'disabled')
        return True

    def has(self, tenant, dimension):
        dimensions = self.of(tenant).get('dimensions')
        return dimensions is None or dimension in dimensions

    def spend(self, partition, tenant, progress_us, items=1):
        """Count an event's items; False if they are over the quota."""
        quota = self.of(tenant).get('items_per_second')
        if quota is not None:
            use = self.usage.used.setdefault((partition, tenant), [None, 0])
            if use[0] != progress_us // US:
                use[:] = [progress_us // US, 0]
            if use[1] + items > -(-quota // self.usage.partitions):
                self.usage.count(tenant, 'over_quota')
                return False
            use[1] += items
        self.usage.count(tenant, 'counted', items)
        return True
