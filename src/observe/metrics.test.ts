import { createMetrics, type Metrics } from './metrics.ts';

let metrics: Metrics;
beforeEach(() => {
  metrics = createMetrics({ version: '1.2.3' });
});

/** The lines of metrics whose name begins so, without comments and buckets. */
async function lines(prefix: string): Promise<string[]> {
  const text = await metrics.text();
  return text.split('\n').filter((line) => line.startsWith(prefix) && !line.includes('_bucket{'));
}

async function buckets(metric: string): Promise<string[]> {
  const text = await metrics.text();
  return [...text.matchAll(new RegExp(`^${metric}_bucket\\{le="([^"]+)"`, 'gm'))].map(([, le]) => le ?? '');
}

describe('metrics', () => {
  it('stand at 0 from the start where their labels are known, and are absent where 0 would be a wrong time', async () => {
    expect(await lines('kubeproxy_')).toEqual([
      'kubeproxy_proxy_healthz_total{code="200"} 0',
      'kubeproxy_proxy_healthz_total{code="503"} 0',
      'kubeproxy_proxy_livez_total{code="200"} 0',
      'kubeproxy_proxy_livez_total{code="503"} 0',
      'kubeproxy_sync_proxy_rules_service_changes_total 0',
      'kubeproxy_sync_proxy_rules_service_changes_pending 0',
      'kubeproxy_sync_proxy_rules_endpoint_changes_total 0',
      'kubeproxy_sync_proxy_rules_endpoint_changes_pending 0',
      'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 0',
      'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 0',
      'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv4"} 0',
      'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv6"} 0',
      'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 0',
      'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv6"} 0',
    ]);
    expect((await lines('vipmap_')).sort()).toEqual([
      'vipmap_audits_total{result="failed"} 0',
      'vipmap_audits_total{result="mended"} 0',
      'vipmap_audits_total{result="ok"} 0',
      'vipmap_build_info{version="1.2.3"} 1',
      'vipmap_elements{family="IPv4"} 0',
      'vipmap_elements{family="IPv6"} 0',
      'vipmap_endpoints 0',
      'vipmap_foreign_changes_total 0',
      'vipmap_ipvs_steps_total{result="done"} 0',
      'vipmap_ipvs_steps_total{result="failed"} 0',
      'vipmap_services 0',
      'vipmap_set_aside_services 0',
      'vipmap_source_synced 0',
      'vipmap_transactions_total{writer="netlink"} 0',
      'vipmap_transactions_total{writer="nft"} 0',
    ]);
  });

  it('tell of syncs', async () => {
    metrics.syncQueued('ip', 1_700_000_000_500);
    metrics.syncEnded('ip', 'full', 0.5);
    metrics.syncEnded('ip', 'partial', 0.25);
    metrics.syncSucceeded('ip', 1_700_000_001_000);
    metrics.syncFailed('ip6');
    metrics.cleanupFailed('ip6');
    metrics.noLocalEndpoints('ip', { internal: 1, external: 2 });
    metrics.conntrackReconciled('ip', 0.125, 7);
    const all = await lines('kubeproxy_');
    for (const line of [
      'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1700000000.5',
      'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1700000001',
      'kubeproxy_sync_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.75',
      'kubeproxy_sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.5',
      'kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
      'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 1',
      'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv6"} 1',
      'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal",ip_family="IPv4"} 1',
      'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv4"} 2',
      'kubeproxy_conntrack_reconciler_sync_duration_seconds_sum{ip_family="IPv4"} 0.125',
      'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 7',
    ]) {
      expect(all).toContain(line);
    }
  });

  it('have the buckets of kube-proxy', async () => {
    metrics.syncEnded('ip', 'full', 1);
    metrics.networkProgrammed('ip', 1);
    const durations = '0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 16.384 +Inf';
    expect(await buckets('kubeproxy_sync_proxy_rules_duration_seconds')).toEqual(durations.split(' '));
    const programming = await buckets('kubeproxy_network_programming_duration_seconds');
    expect(programming).toHaveLength(2 + 59 + 12 + 7 + 1);
    expect(programming.slice(0, 4)).toEqual(['0.25', '0.5', '1', '2']);
    expect(programming.slice(59, 64)).toEqual(['58', '59', '60', '65', '70']);
    expect(programming.slice(-9)).toEqual(['115', '120', '150', '180', '210', '240', '270', '300', '+Inf']);
  });

  it('tell of changes and of answers', async () => {
    metrics.changeSeen('service', 1);
    metrics.changeSeen('service', 2);
    metrics.changesPending('service', 0);
    metrics.changeSeen('endpoint', 1);
    metrics.healthAnswered('healthz', 503);
    metrics.healthAnswered('livez', 200);
    expect((await lines('kubeproxy_')).filter((line) => /changes|healthz|livez/.test(line))).toEqual([
      'kubeproxy_proxy_healthz_total{code="200"} 0',
      'kubeproxy_proxy_healthz_total{code="503"} 1',
      'kubeproxy_proxy_livez_total{code="200"} 1',
      'kubeproxy_proxy_livez_total{code="503"} 0',
      'kubeproxy_sync_proxy_rules_service_changes_total 2',
      'kubeproxy_sync_proxy_rules_service_changes_pending 0',
      'kubeproxy_sync_proxy_rules_endpoint_changes_total 1',
      'kubeproxy_sync_proxy_rules_endpoint_changes_pending 1',
    ]);
  });

  it('tell of what is ours', async () => {
    metrics.audited('mended');
    metrics.auditMended('service-ips', 3);
    metrics.foreignChangeSeen();
    metrics.setAsideServices(1);
    metrics.transactionApplied('netlink', 0.0002);
    metrics.ipvsSteps(5, 2);
    metrics.ipvsApplied('ipvsadm', 0.2);
    metrics.services(5);
    metrics.endpoints(10);
    metrics.elements('ip6', 40);
    metrics.watchRestarted('services', 'expired');
    metrics.sourceSynced(true);
    const all = await lines('vipmap_');
    for (const line of [
      'vipmap_audits_total{result="mended"} 1',
      'vipmap_audit_mended_elements_total{map="service-ips"} 3',
      'vipmap_foreign_changes_total 1',
      'vipmap_set_aside_services 1',
      'vipmap_transactions_total{writer="netlink"} 1',
      'vipmap_transaction_duration_seconds_sum{writer="netlink"} 0.0002',
      'vipmap_ipvs_steps_total{result="done"} 3',
      'vipmap_ipvs_duration_seconds_sum{writer="ipvsadm"} 0.2',
      'vipmap_services 5',
      'vipmap_endpoints 10',
      'vipmap_elements{family="IPv6"} 40',
      'vipmap_watch_restarts_total{kind="services",reason="expired"} 1',
      'vipmap_source_synced 1',
    ]) {
      expect(all).toContain(line);
    }
  });

  it('tell of the process, and can exist twice', async () => {
    expect(await lines('process_cpu_seconds_total ')).toHaveLength(1);
    createMetrics({ version: '4' }).services(9);
    expect(await lines('vipmap_services')).toEqual(['vipmap_services 0']);
  });
});
