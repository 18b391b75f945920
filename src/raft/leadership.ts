// Who leads one group, as the core last said it, and who wants to hear of a change.

import type { NodeId } from '../base/index.ts'
import type { SoftState } from './core/index.ts'

type Listener = (leader: NodeId | undefined, isSelf: boolean) => void

export class Leadership {
  readonly #listeners: Listener[] = []
  #soft: SoftState = { leader: 0, role: 'follower' }
  #leader: NodeId | undefined

  get soft(): SoftState {
    return this.#soft
  }

  /** Undefined while nobody is known to lead. */
  get leader(): NodeId | undefined {
    return this.#leader
  }

  /** This node leads. */
  get isSelf(): boolean {
    return this.#soft.role === 'leader'
  }

  /** Undefined when who leads is still the same. */
  note(soft: SoftState): 'won' | 'lost' | 'others' | undefined {
    const wasSelf = this.isSelf
    const leader = soft.leader === 0 ? undefined : (soft.leader as NodeId)
    const isSame = leader === this.#leader && (soft.role === 'leader') === wasSelf
    this.#soft = soft
    this.#leader = leader
    if (isSame) return undefined
    if (wasSelf && !this.isSelf) return 'lost'
    return this.isSelf && !wasSelf ? 'won' : 'others'
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener)
  }

  announce(): void {
    for (const listen of this.#listeners) listen(this.#leader, this.isSelf)
  }
}
