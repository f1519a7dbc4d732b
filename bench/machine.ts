import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { nftProgram } from './node-rig.ts';
import { run } from './programs/commands.ts';
import type { Report } from './question.ts';

const root = join(import.meta.dirname, '..');

export function describeMachine(): Report['machine'] {
  const processors = cpus();
  return {
    processors: processors.length,
    model: processors[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
  };
}

/** Of the last minute. */
export function loadAverage(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

export function versions(): Report['versions'] {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return {
    vipmap: version,
    node: process.versions.node,
    nft: run([nftProgram, '--version'])
      .trim()
      .replace(/^nftables /, ''),
  };
}
