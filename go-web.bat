@echo off
rem Installs what is missing into .venv, then opens the page. Arguments go to infer-web.py.
setlocal
chcp 65001 >nul
rem pushd also works on a network share, where cd does not
pushd "%~dp0" || (echo The folder of this file cannot be opened. & pause & exit /b 1)
if not exist infer-web.py (
  echo The other files are not here. Unpack the whole zip into a folder and start this file there.
  pause
  exit /b 1
)
set PYTHON=
set CHECK="import sys; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 14) and sys.maxsize > 2**32))"
for %%P in ("py -3" "python" "python3" "py -3.14" "py -3.13" "py -3.12" "py -3.11" "py -3.10") do (
  if not defined PYTHON %%~P -c %CHECK% >nul 2>nul && set PYTHON=%%~P
)
if not defined PYTHON (
  echo Python 3.10 to 3.14 for 64 bit is needed and was not found.
  echo Get it from https://www.python.org/downloads/windows/ and start this file again.
  pause
  exit /b 1
)
%PYTHON% -m tools.cmd.install || (pause & exit /b 1)
.venv\Scripts\python.exe infer-web.py %* || pause
