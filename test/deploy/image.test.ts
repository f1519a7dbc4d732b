import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readDeploy } from './manifests.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dockerfile = readDeploy('Dockerfile');
const script = readFileSync(`${root}/scripts/build-image.sh`, 'utf8');

describe('the image', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(`${tmpdir()}/vipmap-image-`);
    for (const part of ['runtime', 'program']) execFileSync(`${root}/deploy/image/assemble.sh`, [part, folder]);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is put together by the same script with and without a container engine', () => {
    for (const part of ['system', 'runtime', 'program']) {
      expect(dockerfile).toMatch(new RegExp(`assemble\\.sh ${part} /`));
      expect(script).toContain(`deploy/image/assemble.sh ${part} "`);
    }
    // The rest is read from the Dockerfile.
    for (const instruction of ['ENV', 'ENTRYPOINT', 'CMD']) {
      expect(dockerfile.match(new RegExp(`^${instruction} `, 'gm'))).toHaveLength(1);
      expect(script).toContain(`$(setting ${instruction}`);
    }
  });

  it('has every file that the Dockerfile copies from the sources', () => {
    const allowed = readDeploy('Dockerfile.dockerignore').split('\n');
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, files = '']) =>
      files.split(' '),
    );
    expect(copied.length).toBeGreaterThan(3);
    for (const file of copied) {
      expect(lstatSync(`${root}/${file}`)).toBeDefined();
      const parts = file.replace(/\/$/, '').split('/');
      expect(parts.some((_part, i) => allowed.includes(`!${parts.slice(0, i + 1).join('/')}`))).toBe(true);
    }
  });

  it('starts the program without a shell or env', () => {
    const [entrypoint] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]');
    expect(entrypoint).toBe('/usr/local/bin/vipmap');
    const program = `${folder}/usr/local/lib/vipmap/vipmap.mjs`;
    expect(readlinkSync(folder + entrypoint)).toBe('../lib/vipmap/vipmap.mjs');
    expect(readFileSync(program, 'utf8').split('\n', 1)).toEqual(['#!/usr/local/bin/node --max-semi-space-size=4']);
    expect(lstatSync(program).mode & 0o777).toBe(0o755);
    expect(dockerfile).toMatch(/^ENV .* MALLOC_ARENA_MAX=1$/m);
    expect(/^ENV PATH=(\S*)/m.exec(dockerfile)?.[1]?.split(':')).toEqual(
      expect.arrayContaining(['/usr/local/bin', '/usr/sbin']),
    );
  });

  it('has the Node, the program and the native package that belong together', () => {
    const node = (...args: string[]) => execFileSync(`${folder}/usr/local/bin/node`, args, { encoding: 'utf8' });
    const lib = `${folder}/usr/local/lib/vipmap`;
    expect(node(`${lib}/vipmap.mjs`, '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    const call = `require('node:module').createRequire('${lib}/vipmap.mjs')('koffi').load(null).func('int getpid()')()`;
    expect(node('-p', `${call} === process.pid`)).toBe('true\n');
  });
});
