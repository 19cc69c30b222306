export function findChromium(options?: { mayInstall?: boolean }): string | undefined;
