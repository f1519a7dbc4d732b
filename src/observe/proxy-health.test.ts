import { ProxyHealth } from './proxy-health.ts';

function proxyHealth() {
  let now = 1_000_000;
  const health = new ProxyHealth({ clock: () => now, syncPeriodMs: 30_000 });
  return { health, wait: (ms: number) => (now += ms) };
}

describe('the health of the proxy', () => {
  it('is good before anything was asked of it', () => {
    const { health } = proxyHealth();
    expect(health.status()).toEqual({ nowMs: 1_000_000, isHealthy: true, isNodeEligible: false, families: {} });
  });

  it('is good for any time with nothing waiting', () => {
    const { health, wait } = proxyHealth();
    health.updated('ip');
    wait(86_400_000);
    expect(health.status().isHealthy).toBe(true);
  });

  it('ends when a change of a family has waited for two sync periods', () => {
    const { health, wait } = proxyHealth();
    health.updated('ip');
    health.updated('ip6');
    health.queued('ip6');
    wait(59_999);
    expect(health.status().isHealthy).toBe(true);
    wait(1);
    expect(health.status()).toMatchObject({
      lastUpdatedMs: 1_000_000,
      isHealthy: false,
      families: { ip: { isHealthy: true }, ip6: { isHealthy: false, lastUpdatedMs: 1_000_000 } },
    });
  });

  it('counts from the oldest change, and anew after a sync', () => {
    const { health, wait } = proxyHealth();
    health.queued('ip');
    wait(50_000);
    health.queued('ip');
    wait(10_000);
    expect(health.status().isHealthy).toBe(false);
    health.updated('ip');
    health.queued('ip');
    wait(59_999);
    expect(health.status()).toMatchObject({ isHealthy: true, lastUpdatedMs: 1_060_000 });
  });

  it('is not the sync of another family', () => {
    const { health, wait } = proxyHealth();
    health.queued('ip');
    wait(60_000);
    health.updated('ip6');
    expect(health.status()).toMatchObject({ isHealthy: false, lastUpdatedMs: 1_060_000 });
  });

  it('knows of a family that was never synced', () => {
    const { health, wait } = proxyHealth();
    health.queued('ip');
    wait(60_000);
    expect(health.status().families).toEqual({ ip: { isHealthy: false } });
  });

  it('is told of the node, which does not count in it', () => {
    const { health } = proxyHealth();
    health.setNodeEligible(true);
    expect(health.status().isNodeEligible).toBe(true);
    health.setNodeEligible(false);
    expect(health.status()).toMatchObject({ isHealthy: true, isNodeEligible: false });
  });
});
