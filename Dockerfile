# The service with ONNX Runtime, without TensorFlow: see docs/deploying.md.
FROM python:3.13-slim
WORKDIR /ecg
COPY requirements-serve.txt .
RUN pip install --no-cache-dir -r requirements-serve.txt
COPY *.py ./
COPY saved_models saved_models
# wfdb brings matplotlib, which wants a folder to write to.
ENV MPLCONFIGDIR=/tmp PYTHONUNBUFFERED=1
USER nobody
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/health')"
CMD ["uvicorn", "serve:app", "--host", "0.0.0.0", "--port", "8000"]
