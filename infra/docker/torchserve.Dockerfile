# TorchServe with what our handler needs; the image runs as its own user, model-server.
FROM pytorch/torchserve:0.12.0-cpu
RUN python -m pip install --no-cache-dir onnxruntime==1.20.1 tokenizers==0.21.0
COPY torchserve.properties /home/model-server/config.properties
CMD ["torchserve", "--foreground", "--ts-config", "/home/model-server/config.properties"]
