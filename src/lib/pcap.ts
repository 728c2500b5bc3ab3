// Pcap: the classic file format of captures, with nanoseconds.
//
// Reference: draft-ietf-opsawg-pcap; link types at tcpdump.org/linktypes.html.

export const LINKTYPE_ETHERNET = 1;
/** IP packets without a header before them. */
export const LINKTYPE_RAW = 101;

const NANOSECOND_MAGIC = 0xa1b2_3c4d;
const GLOBAL_BYTES = 24;
const RECORD_BYTES = 16;

/** What a file begins with. snaplen: bytes of a packet that are kept at most. */
export function pcapHeader(linktype: number, snaplen: number): Buffer {
  const header = Buffer.alloc(GLOBAL_BYTES);
  header.writeUInt32LE(NANOSECOND_MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(snaplen, 16);
  header.writeUInt32LE(linktype, 20);
  return header;
}

/** One packet with its head. length: bytes that it had. */
export function pcapRecord(seconds: number, nanoseconds: number, bytes: Uint8Array, length: number): Buffer {
  const record = Buffer.alloc(RECORD_BYTES + bytes.length);
  record.writeUInt32LE(seconds >>> 0, 0);
  record.writeUInt32LE(nanoseconds, 4);
  record.writeUInt32LE(bytes.length, 8);
  record.writeUInt32LE(Math.max(length, bytes.length), 12);
  record.set(bytes, RECORD_BYTES);
  return record;
}
