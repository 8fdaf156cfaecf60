// One tab of a person: found and pressed as a person would, by roles and names, never by the page's structure.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { eventually } from '../clients/harness.mjs';

/** How long anything may take before it counts as never: two cores encode and decode every picture of a call. */
export const PATIENCE = 30_000;
/** Energy that the codec leaves of silence. */
const SILENCE = 1e-7;
/** A packet is 20 ms, and the fake microphone beeps once a second. */
const PACKETS_OF_TWO_BEEPS = 100;
export const PASSWORD = 'correct horse battery';

/** What the browser complained of, in every tab of one profile. */
class Complaints {
  #heard = [];
  #tolerated = [];

  constructor(context) {
    context.on('console', (message) => {
      if (message.type() === 'error') this.#heard.push(`${message.text()} (${message.location().url})`);
    });
    context.on('weberror', (error) => this.#heard.push(error.error().stack));
  }

  tolerate(...patterns) {
    this.#tolerated.push(...patterns);
  }

  assertNone() {
    const left = this.#heard.filter((text) => !this.#tolerated.some((pattern) => pattern.test(text)));
    assert.deepEqual(left, [], 'the browser should have had nothing to complain of');
  }
}

export class Tab {
  /** @param profile `{ context, complaints }`, shared by the tabs of one person */
  constructor(profile, page, url, name) {
    this.profile = profile;
    this.page = page;
    page.setDefaultTimeout(PATIENCE);
    this.url = url;
    this.name = name;
  }

  static async open(context, { url }) {
    const profile = { context, complaints: new Complaints(context) };
    return Tab.#in(profile, url, undefined);
  }

  static async #in(profile, url, name) {
    const page = await profile.context.newPage();
    await page.goto(url);
    return new Tab(profile, page, url, name);
  }

  /** Another tab of the same person. */
  another() {
    return Tab.#in(this.profile, this.url, this.name);
  }

  /** A copy of this tab, with what it keeps for itself, as the browser's "Duplicate" makes it. */
  async duplicate() {
    const opened = this.page.waitForEvent('popup');
    await this.page.evaluate(() => void window.open(location.href));
    return new Tab(this.profile, await opened, this.url, this.name);
  }

  /** Console errors that this test brings about. */
  tolerate(...patterns) {
    this.profile.complaints.tolerate(...patterns);
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true }).first();
  }

  press(name) {
    return this.button(name).click();
  }

  /** Presses Tab until the focus is on the button, as one without a mouse does. */
  async tabsTo(name) {
    const wanted = this.button(name);
    await wanted.waitFor();
    const seen = [];
    for (let presses = 0; presses < 60; presses++) {
      if (await wanted.evaluate((element) => element === document.activeElement)) return;
      await this.page.keyboard.press('Tab');
      seen.push(await this.page.evaluate(() => document.activeElement?.textContent || document.activeElement?.tagName));
    }
    assert.fail(`Tab does not reach "${name}" at ${this.name}: ${seen.join(', ')}`);
  }

  /** Waits until `text` can be read on the page. News go after ten seconds: look for them before what brings them about. */
  sees(text, ms) {
    return this.#text(`${text} to be seen`, (texts) => texts.some((line) => has(line, text)), ms);
  }

  seesNot(text) {
    return this.#text(`${text} to go`, (texts) => !texts.some((line) => has(line, text)));
  }

  async #lines() {
    return (await this.page.locator('body').innerText()).split('\n');
  }

  async #text(what, wanted, ms = PATIENCE) {
    let lines;
    try {
      await eventually(`${what} at ${this.name}`, async () => {
        lines = await this.#lines();
        return wanted(lines) || undefined;
      }, ms);
    } catch (late) {
      throw new Error(`${late.message}; the page says: ${lines?.join(' | ')}`, { cause: late });
    }
  }

  // --- an account ---

  async signUp(label) {
    await this.triesToSignUp(`${label}-${randomBytes(4).toString('hex')}`);
    await this.isInLobby();
    return this;
  }

  async triesToSignUp(name) {
    this.name = name;
    await this.press('Create an account');
    await this.#enter('Sign up', PASSWORD);
  }

  async logIn(password = PASSWORD) {
    await this.#enter('Log in', password);
  }

  async #enter(button, password) {
    await this.page.getByLabel('Name', { exact: true }).fill(this.name);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.press(button);
  }

  /** This many missed calls are new: by the choice "Missed", and by the title for one in another tab. */
  async hasMissed(count) {
    const choice = count === 0 ? 'Missed' : new RegExp(`^Missed ?${count} new$`);
    await this.button(choice).waitFor();
    await eventually(`${count} missed calls in the title at ${this.name}`, async () => {
      assert.equal(await this.page.title(), count === 0 ? 'Calls' : `(${count}) Calls`);
      return true;
    }, PATIENCE);
  }

  async isInLobby() {
    await this.button('Account').waitFor();
  }

  async isSignedOut() {
    await this.button('Log in').waitFor();
  }

  async changesPassword(current, next) {
    await this.press('Account');
    await this.page.getByLabel('Current password').fill(current);
    await this.page.getByLabel('New password').fill(next);
    await this.press('Change password');
  }

  async deletesAccount(password) {
    await this.press('Account');
    await this.page.getByLabel('Password, to delete the account').fill(password);
    await this.press('Delete account');
  }

  /** The access token that the page holds. */
  token() {
    return this.page.evaluate(() => JSON.parse(localStorage.getItem('video-call.session')).token);
  }

  /** The token that comes after `stale`. */
  tokenAfter(stale) {
    return eventually(`a new access token at ${this.name}`, async () => {
      const token = await this.token();
      return token === stale ? undefined : token;
    }, PATIENCE);
  }

  // --- a call ---

  /** @param kind 'Audio' or 'Video' */
  async calls(peer, kind = 'Video') {
    await this.press(`${kind} call to ${peer.name}`);
  }

  async rings() {
    await this.button('Decline').waitFor();
  }

  async ringsNoMore() {
    await this.button('Decline').waitFor({ state: 'hidden' });
  }

  /** @param kind 'audio' or 'video' */
  async accepts(kind = 'video') {
    await this.press(`Accept with ${kind}`);
  }

  async isInCall() {
    await this.button('Hang up').waitFor();
    await this.isConnected();
  }

  async mediaConnects() {
    await this.#media('media to connect', ({ connection }) => connection === 'connected');
  }

  async isConnected() {
    await this.mediaConnects();
    await this.sees('Connected');
  }

  async isInNoCall() {
    await this.button('Hang up').waitFor({ state: 'hidden' });
    await eventually(`no peer connection to be left at ${this.name}`, async () =>
      (await this.page.evaluate(() => window.probe.open())) === 0 || undefined, PATIENCE);
    await this.captures();
  }

  /** Waits until just these devices are in use: 'microphone', 'camera', 'screen'. */
  async captures(...devices) {
    await eventually(`${devices.join(' and ') || 'no device'} to be in use at ${this.name}`, async () => {
      assert.deepEqual(await this.page.evaluate(() => window.probe.captured()), devices.toSorted());
      return true;
    }, PATIENCE);
  }

  /** The newest recent call with `peer` is told in these words. */
  async recentlyHad(peer, words) {
    const calls = this.page.getByRole('region', { name: 'Recent calls' }).getByRole('listitem');
    const newest = calls.filter({ hasText: peer.name }).first();
    await eventually(`"${words}" to be told of the last call with ${peer.name} at ${this.name}`, async () => {
      assert.match(await newest.innerText({ timeout: 1_000 }), words);
      return true;
    }, PATIENCE);
  }

  /** What the newest peer connection sends and receives: see probe.js. */
  media() {
    return this.page.evaluate(() => window.probe.media());
  }

  async #media(what, wanted) {
    let last;
    try {
      return await eventually(`${what} at ${this.name}`, async () => {
        last = await this.media();
        return last !== null && wanted(last) ? last : undefined;
      }, PATIENCE);
    } catch (late) {
      const lines = await this.#lines();
      throw new Error(`${late.message}; its media: ${JSON.stringify(last)}; the page says: ${lines.join(' | ')}`, { cause: late });
    }
  }

  /** Waits until just `count` pictures of the peer are shown and move. */
  async picturesMove(count = 1) {
    const shown = ({ videos }) => videos.filter(({ picture }) => picture !== null);
    let before = null;
    const after = await this.#media(`${count} moving picture(s)`, (media) => {
      const now = shown(media);
      if (now.length !== count) return false;
      before ??= new Map();
      for (const video of now) if (!before.has(video.track)) before.set(video.track, video);
      return now.every(({ track, decoded, picture }) => {
        const then = before.get(track);
        return decoded >= then.decoded + 5 && picture.frames >= then.picture.frames + 5;
      });
    });
    return shown(after);
  }

  /** Waits until no picture of the peer is shown, and none comes, for as long as it takes its sound to beep twice. */
  async getsNoPicture() {
    let before = null;
    await this.#media('no picture', ({ audio, videos }) => {
      if (audio === null) return false;
      const decoded = videos.reduce((sum, video) => sum + video.decoded, 0);
      const comes = videos.some(({ picture }) => picture !== null) || decoded !== before?.decoded;
      if (comes) before = { decoded, packets: audio.packets };
      return audio.packets >= before.packets + PACKETS_OF_TWO_BEEPS;
    });
  }

  /** Waits until sound arrives: the fake microphone beeps once a second. */
  async soundArrives() {
    let before;
    await this.#media('sound', ({ audio }) => {
      if (audio === null) return false;
      before ??= audio;
      return audio.packets >= before.packets + 20 && audio.energy > before.energy;
    });
  }

  /** Waits until what arrives is silent: packets come, and no energy in them. */
  async silenceArrives() {
    let before = null;
    await this.#media('silence', ({ audio }) => {
      if (before === null || audio.energy > before.energy + SILENCE) before = audio;
      return audio.packets >= before.packets + PACKETS_OF_TWO_BEEPS;
    });
  }

  /** Watches for the next press of the button; what is returned waits for it, and says when it was: epoch milliseconds. */
  async watchesPress(name) {
    const press = await this.button(name).evaluateHandle((button) => ({
      at: new Promise((done) => {
        button.addEventListener('click', () => done(performance.timeOrigin + performance.now()), { capture: true });
      }),
    }));
    return () => press.evaluate(({ at }) => at);
  }

  /** The same of the next picture that the peer sends: when it was decoded. */
  async watchesPicture() {
    const picture = await this.page.evaluateHandle(() => ({ at: window.probe.firstPictureAt() }));
    return () => picture.evaluate(({ at }) => at);
  }

  /** How many offers this page has made. */
  offers() {
    return this.page.evaluate(() => window.probe.descriptions.filter((type) => type === 'offer').length);
  }
}

const has = (line, text) => (text instanceof RegExp ? text.test(line) : line.includes(text));

/** The same for several tabs, at once: news on a page do not stay for ever. */
export const each = (tabs, task) => Promise.all(tabs.map(task));

/** A call between two, connected and moving on both sides. */
export async function connect(caller, callee, kind = 'Video') {
  await caller.calls(callee, kind);
  await callee.accepts(kind.toLowerCase());
  await Promise.all([caller.isInCall(), callee.isInCall()]);
}
