// The part of the WebAssembly JavaScript interface (W3C, version 2) that the kernel uses. Node has it; the
// type libraries chosen for this project describe it only together with the browser.

export type WasmMemory = { readonly buffer: ArrayBuffer }
export type WasmExports = Readonly<Record<string, unknown>>

export type WasmInterface = {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => WasmMemory
  readonly Module: new (binary: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: WasmExports }
  validate(binary: Uint8Array): boolean
}

export const wasm: WasmInterface = (globalThis as unknown as { WebAssembly: WasmInterface })
  .WebAssembly
