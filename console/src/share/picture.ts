/** A small picture that is never twice the same, as a PNG in base64. */
export function picture(): string {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 180];
  const pen = canvas.getContext('2d');
  if (!pen) return '';
  const hue = Math.random() * 360;
  pen.fillStyle = `hsl(${hue} 45% 14%)`;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (let line = 0; line < 14; line++) {
    pen.strokeStyle = `hsl(${hue + line * 9} 70% 62% / 0.75)`;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (let x = 0; x <= canvas.width; x += 4) {
      pen.lineTo(x, 90 + Math.sin(x / (38 + line * 2) + hue) * (6 + line * 5));
    }
    pen.stroke();
  }
  return canvas.toDataURL('image/png').replace(/^[^,]*,/, '');
}
