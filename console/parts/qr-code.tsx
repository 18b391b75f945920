// A text as a QR code, drawn as one path: dark on light in either theme, with the quiet zone that scanners need.

import { useMemo } from 'react'
import { encodeQr } from '../qr.ts'

const quiet = 4

export function QrCode({ text, label }: { readonly text: string; readonly label: string }) {
  const { path, width } = useMemo(() => {
    const rows = encodeQr(text)
    const cells = rows.flatMap((row, y) =>
      row.flatMap((isDark, x) => (isDark ? [`M${x + quiet} ${y + quiet}h1v1h-1z`] : [])),
    )
    return { path: cells.join(''), width: rows.length + 2 * quiet }
  }, [text])
  return (
    <svg className="qr" viewBox={`0 0 ${width} ${width}`} role="img" aria-label={label}>
      <rect width={width} height={width} fill="#fff" />
      <path d={path} fill="#000" shapeRendering="crispEdges" />
    </svg>
  )
}
