/**
 * What a browser gives a page, once the person has agreed. Every function rejects with words that a
 * client can show.
 */

const patienceMs = 20_000;
const widestPicture = 1280;
/** Files of one answer together, in bytes: well below what fits into one message. */
const mostFileBytes = 5_000_000;

export async function whereAmI(
  geolocation: Geolocation,
): Promise<{ latitude: number; longitude: number; accuracyMeters: number }> {
  const { coords } = await new Promise<GeolocationPosition>((resolve, reject) => {
    const failed = ({ message }: GeolocationPositionError) =>
      reject(new Error(message || 'The browser did not provide a location.'));
    geolocation.getCurrentPosition(resolve, failed, { timeout: patienceMs, maximumAge: 60_000 });
  });
  return { latitude: coords.latitude, longitude: coords.longitude, accuracyMeters: coords.accuracy };
}

export async function takePicture(devices: MediaDevices): Promise<{ data: string; mimeType: string }> {
  const stream = await devices.getUserMedia({ video: { width: { ideal: widestPicture } } });
  try {
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = stream;
    await video.play();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    return { data: canvas.toDataURL('image/jpeg', 0.85).replace(/^[^,]*,/, ''), mimeType: 'image/jpeg' };
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

/** MCP's contents of a resource. */
type FileContents = { uri: string; mimeType: string } & ({ text: string } | { blob: string });

export async function pickFiles(): Promise<FileContents[]> {
  const files = await chooseFiles();
  if (files.reduce((total, { size }) => total + size, 0) > mostFileBytes) {
    throw new Error(`The selected files exceed ${mostFileBytes / 1e6} MB.`);
  }
  return await Promise.all(files.map((file) => contentsOf(file)));
}

async function contentsOf(file: File): Promise<FileContents> {
  const uri = `file:///${encodeURIComponent(file.name)}`;
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { uri, mimeType: file.type || 'text/plain', text };
  } catch {
    return { uri, mimeType: file.type || 'application/octet-stream', blob: base64(bytes) };
  }
}

/**
 * The File System Access API where there is one (https://wicg.github.io/file-system-access), else a
 * file input.
 */
async function chooseFiles(): Promise<File[]> {
  const { showOpenFilePicker } = window as Picking;
  if (showOpenFilePicker) {
    const handles = await showOpenFilePicker.call(window, { multiple: true });
    return await Promise.all(handles.map((handle) => handle.getFile()));
  }
  const input = document.createElement('input');
  input.type = 'file';
  input.multiple = true;
  return await new Promise((resolve, reject) => {
    input.onchange = () => resolve([...(input.files ?? [])]);
    input.oncancel = () => reject(new Error('No file was selected.'));
    input.click();
  });
}

type Picking = { showOpenFilePicker?: (options: { multiple: boolean }) => Promise<FileSystemFileHandle[]> };

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}
