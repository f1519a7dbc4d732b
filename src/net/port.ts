/** A transport port, 1 to 65535. */
export type Port = number & { readonly __port: true };

/** The port, or undefined if the value is not a whole number from 1 to 65535. */
export function parsePort(value: unknown): Port | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535
    ? (value as Port)
    : undefined;
}
