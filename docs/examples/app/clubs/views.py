from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clubs import members


@login_required
def clubs(request: HttpRequest) -> HttpResponse:
    """A page, in the frame of the others."""
    return render(request, "clubs/clubs.html", {"member": members.of(request.user)})


class Mine(APIView):
    """A call with the token that /api/login/ and /api/users/ return, or 401."""

    def get(self, request: Request) -> Response:
        return Response({"account": request.user.public_id, "club": members.of(request.user).club})
