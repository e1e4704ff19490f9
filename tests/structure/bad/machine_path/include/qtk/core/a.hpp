#pragma once

// as in /home/someone/model.onnx
