import { join } from 'node:path';
import { clusterScript, kubectl, repository, run, tryRun } from '../command.ts';
import type { Part } from '../part.ts';

const binary = async (name: string) =>
  (await run(join(import.meta.dirname, '..', 'build.sh'), ['--path', name])).trim();
const deploy = join(repository, 'deploy');

export const manifests: Part = {
  name: 'manifests',
  about: 'deploy/ as kubectl and Helm render it, and what the API server says of it',
  onlyVipmap: true,
  async run({ say }) {
    const problems: string[] = [];
    const helm = await binary('helm');
    const jest = ['--experimental-vm-modules', join(repository, 'node_modules', 'jest', 'bin', 'jest.js')];
    const { status, stdout, stderr } = await tryRun(
      process.execPath,
      [...jest, '--rootDir', repository, 'test/deploy'],
      {
        timeoutMs: 300_000,
        env: { VIPMAP_KUBECTL: await binary('kubectl'), VIPMAP_HELM: helm, CI: 'true' },
      },
    );
    if (status !== 0) problems.push(`test/deploy: ${stdout}${stderr}`);
    for (const folder of ['overlays/kubeadm', 'overlays/ipvs', 'overlays/cleanup']) {
      await kubectl(['apply', '--dry-run=server', '-k', join(deploy, folder)]);
      say(`deploy/${folder}: accepted`);
    }
    const values = ['--set', 'apiServer=https://192.0.2.1:6443', '--set', 'mode=ipvs'];
    const chart = await run(helm, [
      'template',
      'vipmap',
      join(deploy, 'helm', 'vipmap'),
      '-n',
      'kube-system',
      ...values,
    ]);
    await run(clusterScript, ['ctl', '-n', 'kube-system', 'apply', '--dry-run=server', '-f', '-'], { input: chart });
    say('the Helm chart: accepted');
    return problems;
  },
};
