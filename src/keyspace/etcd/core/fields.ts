// Fields of etcd's messages: those of base's codec, which know the wire, together with what the JSON gateway
// has to know of them (protobuf's JSON mapping: 64-bit integers as text, bytes in base64, names of enums).

import {
  bool as boolField,
  bytes as bytesField,
  Fault,
  type Field,
  int,
  type Message,
  type MessageOf,
  nested as nestedField,
  Reader,
  repeated as repeatedField,
  text as textField,
  uint,
  Writer,
} from '../../../base/index.ts'

// biome-ignore lint/suspicious/noExplicitAny: a schema of any message
export type AnySchema = Message<Record<string, any>>

export type JsonShape =
  | { readonly kind: 'int64' | 'wide' | 'uint32' | 'bytes' | 'text' | 'bool' }
  | { readonly kind: 'enum'; readonly names: readonly string[] }
  | { readonly kind: 'message'; readonly schema: () => AnySchema }
  | { readonly kind: 'list'; readonly of: JsonShape }

/** A field with its shape in JSON. Its name there is its own in snake case, unless another is stated. */
export type EtcdField<T> = Field<T> & {
  readonly json: JsonShape
  readonly jsonName: string | undefined
}

function shaped<T>(field: Field<T>, json: JsonShape, jsonName?: string): EtcdField<T> {
  return { ...field, json, jsonName }
}

/** int64 and uint64: what is beyond 2^53-1 is no safe integer, and is refused where it is used. */
export function int64(number: number, jsonName?: string): EtcdField<number> {
  return shaped(int(number), { kind: 'int64' }, jsonName)
}

/** int64 that is given back as it came, also where no number holds it: such an id names nothing here. */
export function echoed(number: number, jsonName?: string): EtcdField<number | bigint> {
  const field: Field<number | bigint> = {
    number,
    wireType: 0,
    initial: () => 0,
    write(writer, value) {
      if (value === 0) return
      writer.key(number, 0)
      writer.signedVarint(value)
    },
    read: (reader) => reader.signedInt64(),
  }
  return shaped(field, { kind: 'wide' }, jsonName)
}

export function uint32(number: number, jsonName?: string): EtcdField<number> {
  return shaped(uint(number), { kind: 'uint32' }, jsonName)
}

export function bool(number: number, jsonName?: string): EtcdField<boolean> {
  return shaped(boolField(number), { kind: 'bool' }, jsonName)
}

export function bytes(number: number, jsonName?: string): EtcdField<Uint8Array> {
  return shaped(bytesField(number), { kind: 'bytes' }, jsonName)
}

export function text(number: number, jsonName?: string): EtcdField<string> {
  return shaped(textField(number), { kind: 'text' }, jsonName)
}

/** The names in order of their numbers, which begin with 0. An unknown number stays as it is. */
export function enumeration(
  number: number,
  names: readonly string[],
  jsonName?: string,
): EtcdField<number> {
  return shaped(int(number), { kind: 'enum', names }, jsonName)
}

// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
export function nested<F extends Record<string, any>>(
  number: number,
  schema: Message<F>,
  jsonName?: string,
): EtcdField<MessageOf<Message<F>> | undefined> {
  return shaped(
    nestedField(number, schema),
    { kind: 'message', schema: () => schema as AnySchema },
    jsonName,
  )
}

/** A message declared later; the caller states its type. */
export function later<T>(field: Field<T | undefined>, schema: () => AnySchema) {
  return shaped(field, { kind: 'message', schema })
}

export function repeated<T>(field: EtcdField<T>): EtcdField<readonly T[]> {
  return shaped(repeatedField(field), { kind: 'list', of: field.json }, field.jsonName)
}

/** Numbers of a repeated enum as protobuf 3 packs them, at most 64. */
export function packedEnumeration(
  number: number,
  names: readonly string[],
): EtcdField<readonly number[]> {
  const field: Field<readonly number[]> = {
    number,
    wireType: 2,
    initial: () => [],
    write(writer, values) {
      if (values.length === 0) return
      const packed = new Writer()
      for (const value of values) packed.signedVarint(value)
      writer.key(number, 2)
      writer.bytes(packed.finish())
    },
    read(reader, previous) {
      const packed = new Reader(reader.bytes(), 0)
      const list = [...previous]
      while (!packed.isAtEnd) {
        list.push(packed.signedVarint())
        if (list.length > packedMax)
          throw new Fault('corrupt', 'malformed message: too many numbers')
      }
      return list
    },
  }
  return shaped(field, { kind: 'list', of: { kind: 'enum', names } })
}

const packedMax = 64

/** Occurrences of a nested message whose encoding is kept for as long as the list itself lives. */
export function sharedList<T>(
  field: EtcdField<T>,
  encodeAll: (list: readonly T[]) => Uint8Array,
): EtcdField<readonly T[]> {
  const list = repeatedField(field)
  const encoded = new WeakMap<readonly T[], Uint8Array>()
  const write: Field<readonly T[]>['write'] = (writer, values) => {
    if (values.length === 0) return
    const known = encoded.get(values) ?? encodeAll(values)
    encoded.set(values, known)
    writer.append(known)
  }
  return shaped({ ...list, write }, { kind: 'list', of: field.json }, field.jsonName)
}
