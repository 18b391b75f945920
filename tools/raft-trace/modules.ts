// The few operators of the TLA+ community modules that etcd's trace specification extends, written for this one use: so the
// model checker's own jar is enough. The trace is a module as well, in place of a parser of JSON in Java.

type Json = string | number | boolean | readonly Json[] | { readonly [name: string]: Json }

/** File names and texts, to lie beside the specification. */
export function communityModules(trace: string): ReadonlyMap<string, string> {
  const lines = trace.split('\n').filter((line) => line.trim() !== '')
  const events = lines.map((line) => expressionOf(JSON.parse(line) as Json))
  const json = moduleOf('Json', '', `ndJsonDeserialize(path) == <<\n${events.join(',\n')}\n>>`)
  return new Map([['Json.tla', json], ...fixed])
}

/** A JSON value as a constant expression of TLA+. Strings of a trace are names and numbers. */
function expressionOf(json: Json): string {
  if (typeof json === 'string') return JSON.stringify(json)
  if (typeof json === 'number') return String(json)
  if (typeof json === 'boolean') return json ? 'TRUE' : 'FALSE'
  if (isList(json)) return `<<${json.map(expressionOf).join(', ')}>>`
  const fields = Object.entries(json).map(([name, value]) => `${name} |-> ${expressionOf(value)}`)
  return fields.length === 0 ? '[none \\in {} |-> 0]' : `[${fields.join(', ')}]`
}

function isList(json: Json): json is readonly Json[] {
  return Array.isArray(json)
}

function moduleOf(name: string, parents: string, text: string): string {
  const head = parents === '' ? '' : `EXTENDS ${parents}\n`
  return `---- MODULE ${name} ----\n${head}${text}\n====\n`
}

const sequences = String.raw`
ToSet(s) == {s[i] : i \in DOMAIN s}
IsPrefix(s, t) == Len(s) <= Len(t) /\ \A i \in 1..Len(s) : s[i] = t[i]
SelectInSeq(s, Test(_)) ==
  LET first[i \in 1..Len(s)+1] ==
        IF i > Len(s) THEN 0 ELSE IF Test(s[i]) THEN i ELSE first[i+1]
  IN first[1]
SelectLastInSubSeq(s, from, to, Test(_)) ==
  LET last[i \in 0..to] ==
        IF i < from \/ i = 0 THEN 0 ELSE IF Test(s[i]) THEN i ELSE last[i-1]
  IN last[to]
FoldSeq(op(_,_), base, s) ==
  LET fold[i \in 0..Len(s)] == IF i = 0 THEN base ELSE op(s[i], fold[i-1])
  IN fold[Len(s)]`

const sets = String.raw`
Max(S) == CHOOSE x \in S : \A y \in S : x >= y
Min(S) == CHOOSE x \in S : \A y \in S : x <= y`

const bags = String.raw`
BagAdd(B, x) == B (+) SetToBag({x})
RECURSIVE FoldOver(_,_,_)
FoldOver(op(_,_), base, B) ==
  IF DOMAIN B = {} THEN base
  ELSE LET x == CHOOSE x \in DOMAIN B : TRUE
       IN FoldOver(op, op(base, x), B (-) SetToBag({x}))
FoldBag(op(_,_), base, B) == FoldOver(op, base, B)`

const environment = String.raw`
IOEnv == [JSON |-> "the trace"]
atoi(s) == CHOOSE n \in 0..9 : ToString(n) = s`

const fixed: readonly (readonly [string, string])[] = [
  ['SequencesExt.tla', moduleOf('SequencesExt', 'Naturals, Sequences', sequences)],
  ['FiniteSetsExt.tla', moduleOf('FiniteSetsExt', 'Naturals', sets)],
  ['BagsExt.tla', moduleOf('BagsExt', 'Bags', bags)],
  ['IOUtils.tla', moduleOf('IOUtils', 'Naturals, TLC', environment)],
]
