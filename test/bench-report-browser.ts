import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import type { Entrance } from './packets/namespace.ts';

/** How a reader has it. */
export interface View {
  readonly scheme: 'light' | 'dark';
  readonly width: number;
}

/** What bench-report-page.js finds. */
export interface Seen {
  readonly lowContrast: readonly unknown[];
  /** What is smaller than 10 pixels on the screen. */
  readonly tinyText: readonly string[];
  readonly checkedTexts: number;
  readonly scrollsSideways: boolean;
  readonly plots: readonly {
    readonly label: string;
    readonly role: string;
    readonly width: number;
    readonly height: number;
    readonly points: number;
    readonly lines: number;
    readonly bars: number;
    /** Labels that overlap or are cut off, points that are not in the plot. */
    readonly faults: readonly string[];
  }[];
  readonly tables: readonly { readonly isInItsBox: boolean; readonly isCut: boolean }[];
}

const eyes = readFileSync(join(import.meta.dirname, 'bench-report-page.js'), 'utf8');

/** Chromium's command, or why there is none. */
export function findBrowser(): Entrance {
  const path = '/usr/bin/chromium';
  if (existsSync(path)) return { command: [path] };
  return { unavailable: `${path} is missing; install it (Debian: apt-get install chromium)` };
}

/** With a profile of its own that is deleted afterwards, and asking for nothing by itself. */
export function openBrowser(executablePath: string): Promise<Browser> {
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet] });
}

/** Opens a file and tells what is to be seen, which files were asked for, and what the browser complained about. */
export async function look(browser: Browser, file: string, { scheme, width }: View) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width, height: 800 } });
  try {
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requests.push(basename(request.url())));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(pathToFileURL(file).href);
    return { seen: await page.evaluate<Seen>(eyes), requests, complaints };
  } finally {
    await page.close();
  }
}
