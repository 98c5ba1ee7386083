# Web, worker, beat and management commands are one image; docker-compose.yml says which is which.
FROM python:3.13-slim AS build
WORKDIR /build
# anymail.txt or ses.txt for a mail service by its API
ARG REQUIREMENTS=base.txt
COPY requirements/ requirements/
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/$REQUIREMENTS

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 doorcode
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py gunicorn.conf.py ./
COPY core core
COPY verification verification
COPY worker worker
COPY signup signup
COPY templates templates
COPY locale locale
RUN DEBUG=true python manage.py collectstatic --noinput
USER doorcode
EXPOSE 8000
CMD ["gunicorn", "core.wsgi", "--bind", "0.0.0.0:8000", "--worker-tmp-dir", "/dev/shm"]
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=2)"]
