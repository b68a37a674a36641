"""What Prometheus asks for."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app.metrics import CONTENT_TYPE
from app.routes.guarded import Guarded
from app.routes.service import ServiceDep
from app.security import require

router = APIRouter(route_class=Guarded)


@router.get("/metrics", dependencies=[Depends(require("audit", everywhere=True))], include_in_schema=False)
def metrics(service: ServiceDep) -> Response:
    """Counts and states, as text. They tell how many people are enrolled and asked for, so a key is needed here too."""
    return Response(service.meters.text(), media_type=CONTENT_TYPE)
