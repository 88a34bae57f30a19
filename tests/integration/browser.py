"""A browser without a window: cookies per host as a browser keeps them (host-only, Secure), forms,
redirects. Only what the pages promise to work with: no JavaScript."""

import html.parser
import re
import urllib.parse

import factors


class _Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form":
            self.forms.append({"action": values.get("action") or "", "method": (values.get("method") or "get").upper(),
                               "fields": {}})
        elif tag in ("input", "button") and self.forms and values.get("name") and values.get("type") not in ("radio", "checkbox"):
            if tag == "input" or values.get("value") is not None and values["name"] not in self.forms[-1]["fields"]:
                self.forms[-1]["fields"].setdefault(values["name"], values.get("value") or "")


class Browser:
    def __init__(self, deployment, language="en", headers=None):
        self.deployment = deployment
        self.cookies = {}  # host -> {name: value}
        self.for_forms = set()  # names of those with SameSite=None
        self.headers = {"Accept-Language": language, **(headers or {})}
        self.url = None

    def _store(self, host, answer):
        jar = self.cookies.setdefault(host, {})
        for line in answer.headers.get_all("Set-Cookie") or []:
            pair, *attributes = [part.strip() for part in line.split(";")]
            name, _, value = pair.partition("=")
            ages = [a.split("=")[1] for a in attributes if a.lower().startswith("max-age=")]
            if value == "" or (ages and int(ages[0]) <= 0):
                jar.pop(name, None)
            else:
                jar[name] = value
                (self.for_forms.add if "SameSite=None" in attributes else self.for_forms.discard)(name)

    def post_from_another_site(self, url, fields, origin):
        """A form of that site's page: the browser shows only the cookies that may go anywhere; nothing is followed."""
        host = urllib.parse.urlsplit(url).hostname
        shown = {name: value for name, value in self.cookies.get(host, {}).items() if name in self.for_forms}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, "Sec-Fetch-Site": "cross-site",
                   "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
        if shown:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in shown.items())
        self.page = self.deployment.request(url, "POST", {**self.headers, **headers}, urllib.parse.urlencode(fields))
        self._store(host, self.page)
        self.url = url
        return self.page

    def send(self, url, method="GET", body=None, headers=None):
        host = urllib.parse.urlsplit(url).hostname
        all_headers = dict(self.headers)
        jar = self.cookies.get(host) or {}
        if jar:
            all_headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        all_headers.update(headers or {})
        answer = self.deployment.request(url, method, all_headers, body)
        self._store(host, answer)
        self.url = url
        return answer

    def get(self, url, headers=None, follow=True, most=12):
        answer = self.send(url, headers=headers)
        while follow and answer.status in (301, 302, 303, 307, 308) and most > 0:
            url = urllib.parse.urljoin(url, answer.headers["Location"])
            answer = self.send(url, headers=headers)
            most -= 1
        self.page = answer
        return answer

    def submit(self, values=None, form=0, follow=True, action=None):
        """Sends a form of the page that was last loaded; `action` picks the form by its action."""
        parser = _Forms()
        parser.feed(self.page.text)
        forms = [f for f in parser.forms if f["method"] == "POST" and (action is None or f["action"].startswith(action))]
        exact = [f for f in forms if f["action"] == action]
        assert len(exact or forms) > form, f"no form for {action} at {self.url}: {self.page.status} {self.page.text[:2000]}"
        chosen = (exact or forms)[form]
        fields = {**chosen["fields"], **(values or {})}
        target = urllib.parse.urljoin(self.url, chosen["action"] or self.url)
        parts = urllib.parse.urlsplit(self.url)
        answer = self.send(target, "POST", urllib.parse.urlencode(fields),
                           {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{parts.scheme}://{parts.netloc}"})
        if follow and answer.status in (301, 302, 303):
            return self.get(urllib.parse.urljoin(target, answer.headers["Location"]))
        self.page = answer
        return answer

    def sign_in(self, url, login, password):
        """Opens url, which leads to the sign-in page, and signs in; returns the page reached."""
        self.get(url)
        self.submit({"login": login, "password": password}, action="/sign-in")
        return self.second_step(login)

    def second_step(self, login):
        """Sets up a second factor or gives it, where the page asks for that; remembered by the deployment."""
        apps = self.deployment.__dict__.setdefault("second_factors", {})
        path = urllib.parse.urlsplit(self.url).path
        mine = (urllib.parse.urlsplit(self.url).hostname, login)
        if path == "/sign-in/enrol":
            apps[mine] = factors.App(re.search(r'class="key">([A-Z2-7 ]+)<', self.page.text).group(1))
            self.submit({"code": apps[mine].code()}, action="/sign-in/enrol")
            apps[mine].recovery = re.findall(r"<li><code>([a-z2-9-]{14})</code></li>", self.page.text)
            on = re.search(r'class="button primary" href="([^"]+)"', self.page.text).group(1)
            return self.get(urllib.parse.urljoin(self.url, on.replace("&amp;", "&")))
        if path == "/sign-in/second" and mine in apps:
            return self.submit({"code": apps[mine].code()}, action="/sign-in/second")
        return self.page
