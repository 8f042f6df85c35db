import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';

/**
 * The source files of this process of which a function ran during a stretch of a test, by V8's own
 * count. What was loaded but did not run is not among them.
 *
 * @param folder absolute, with a slash at its end; the paths are relative to it, with slashes
 */
export async function filesThatRan(folder: string, stretch: () => Promise<unknown>): Promise<Set<string>> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    // Taking the counts resets them.
    await session.post('Profiler.takePreciseCoverage');
    await stretch();
    const { result } = await session.post('Profiler.takePreciseCoverage');
    const ran = result
      .filter(({ url, functions }) => url.startsWith('file:') && functions.some(({ ranges }) => ranges[0]!.count > 0))
      .map(({ url }) => fileURLToPath(url));
    return new Set(ran.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length)));
  } finally {
    session.disconnect();
  }
}
