# What the pipeline builds by Packer. It tells the template where, of what and under which name, in one variable.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.8.2"
    }
  }
}

variable "dpra" {
  type = object({
    region         = string
    parent         = string
    name           = string
    instance_type  = string
    profile        = string
    security_group = string
    subnet         = string
    tags           = map(string)
  })
}

source "amazon-ebs" "image" {
  region               = var.dpra.region
  source_ami           = var.dpra.parent
  ami_name             = var.dpra.name
  instance_type        = var.dpra.instance_type
  iam_instance_profile = var.dpra.profile
  security_group_id    = var.dpra.security_group
  subnet_id            = var.dpra.subnet

  # No port is open: Packer comes in by Systems Manager.
  communicator  = "ssh"
  ssh_interface = "session_manager"
  ssh_username  = "ubuntu"

  metadata_options {
    http_endpoint               = "enabled"
    http_put_response_hop_limit = 1
    http_tokens                 = "required"
  }

  run_tags        = var.dpra.tags
  run_volume_tags = var.dpra.tags
  snapshot_tags   = var.dpra.tags
  tags            = var.dpra.tags
}

build {
  sources = ["source.amazon-ebs.image"]

  provisioner "shell" {
    execute_command = "sudo -n env {{ "{{ .Vars }} bash {{ .Path }}" }}"
    scripts = [
      "${path.root}/scripts/10-packages.sh",
      "${path.root}/scripts/20-hardening.sh",
      "${path.root}/scripts/90-last.sh",
    ]
  }
}
