// PuntDoor: what doors are asked to add, read by the configuration's own schema and rules.

import { readPuntJson } from './config/puntjson.ts';
import { type PuntsRead, readPuntEntry, readPuntText } from './config/puntread.ts';
import type { PuntAsker } from './config/punts.ts';
import { LcpError } from './lib/errors.ts';
import type { PuntDocument } from './northbound/protocol.ts';
import type { PuntDoor } from './northbound/puntmethods.ts';
import type { PuntRequest } from './punt/request.ts';
import type { PuntView } from './punt/view.ts';

function readDocument(document: PuntDocument, asker: PuntAsker): PuntsRead {
  if ('entry' in document) return readPuntEntry(document.entry, asker);
  const by = { ...asker, netns: document.netns ?? asker.netns };
  if ('text' in document) return readPuntText(document.text, by);
  return readPuntJson(document.json, { ...by, name: document.name });
}

/** key: which item asks, for all of this door. netns: of what names none, '' is lcpd's own. */
export function puntDoor(view: PuntView, key: string, netns: () => string): PuntDoor {
  return {
    view,
    read: (document): readonly PuntRequest[] => {
      const read = readDocument(document, { key, netns: netns() });
      if ('punts' in read) return read.punts;
      const lines = read.errors.map(
        ({ path, message, hint }) => `${path === '' ? '' : `${path}: `}${message} (${hint})`,
      );
      const count = `${lines.length} error${lines.length === 1 ? '' : 's'}`;
      throw new LcpError('PUNT_INVALID', { op: 'add punt', message: [count, ...lines].join('\n') });
    },
  };
}
