// The mark: a reef seen from above, a ring with an opening.

export function Brand() {
  return (
    <svg className="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path
        d="M17.5 4.6a9 9 0 1 1-5.5-1.6"
        fill="none"
        stroke="currentColor"
        strokeWidth="3.5"
        strokeLinecap="round"
      />
      <circle cx="12" cy="12" r="2.4" fill="currentColor" />
    </svg>
  )
}
