/**
 * An lcpd whose native library for shared memory was not built: the socket serves, and says why.
 */
import { expect, it } from 'vitest';
import { openVpp } from '../../../src/vpp/open.ts';
import { startFake } from './lab.ts';

it('works over the socket, with the reason', async () => {
  process.env.LCPD_BUILD_DIR = '/nonexistent';
  const fake = await startFake();
  const options = { socket: { path: fake.path }, shm: {} };
  const opened = await openVpp({ ...options, transport: 'auto' });
  expect(opened.client.transport.kind).toBe('socket');
  expect(opened.reason).toContain('has not been built');
  opened.client.close();
  await expect(openVpp({ ...options, transport: 'shm' })).rejects.toMatchObject({ code: 'NATIVE_LIBRARY' });
});
