# syntax=docker/dockerfile:1
# escape=`
ARG base_image=a.io/run:1
FROM ${base_image} AS x

USER root
RUN <<-EOF cat
	a
	EOF
RUN --mount=type=cache,target=/x ["a", "b"]
HEALTHCHECK --interval=1m30s CMD ["x"]
COPY --chown=1:2 a `
  b /c
ENV a=b c="d e"
LABEL k=v
USER ${user_id}
