'use strict';
// The client of a scene in JavaScript: in node with npm's `ws`, in a page with the browser's own sockets. scenes.py says what it does.
// Whatever happens is kept as [mark, text] until somebody takes it: '<' for a frame, '!' for what becomes of the connection.

const isPage = typeof window !== 'undefined';
const Socket = isPage ? window.WebSocket : require('ws');

class Peer {
  kept = [];
  waiting = null;

  open(url, protocols) {
    let isOpen = false;
    const socket = this.socket = protocols.length ? new Socket(url, protocols) : new Socket(url);
    socket.onopen = () => { isOpen = true; this.keep('!', `opened ${socket.protocol}`.trimEnd()); };
    socket.onmessage = (event) => this.keep('<', event.data);
    socket.onerror = () => {}; // what is wrong is told by the goodbye
    socket.onclose = (event) => this.keep('!', isOpen ? `closed ${event.code} ${event.reason}`.trimEnd() : 'refused');
  }

  listen(url) {
    const source = this.socket = new window.EventSource(url);
    source.onopen = () => this.keep('!', 'opened');
    source.onmessage = (event) => this.keep('<', `${event.lastEventId}: ${event.data}`);
    source.onerror = () => this.keep('!', source.readyState === 2 ? 'refused' : 'interrupted');
  }

  send(text) {
    this.socket.send(text);
  }

  close(code) {
    if (isPage && this.socket instanceof window.EventSource) {
      this.socket.close();
      this.keep('!', 'closed');
    } else {
      this.socket.close(code);
    }
  }

  next(seconds) {
    if (this.kept.length) return this.kept.shift();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { this.waiting = null; reject(new Error('nothing more comes')); }, seconds * 1000);
      this.waiting = (happened) => { clearTimeout(timer); resolve(happened); };
    });
  }

  keep(mark, text) {
    const taker = this.waiting;
    this.waiting = null;
    if (taker) taker([mark, text]);
    else this.kept.push([mark, text]);
  }
}

const peer = new Peer();
if (isPage) {
  window.peer = peer;
} else {
  const told = (value) => console.log(JSON.stringify(value));
  require('readline').createInterface({input: process.stdin}).on('line', async (line) => {
    const [method, ...parameters] = JSON.parse(line);
    try {
      told({value: (await peer[method](...parameters)) ?? null});
    } catch (problem) {
      told({problem: String(problem)});
    }
  }).on('close', () => process.exit());
}
