import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['test/unit/**/*.test.ts'], pool: 'forks', testTimeout: 20_000, reporters: ['default'] },
});
